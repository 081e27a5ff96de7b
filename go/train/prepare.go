package train

import (
	"bytes"
	"context"
	"io"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/tensor"
	"github.com/cuda-nn/cuda-nn/go/tokenizer"
)

// Text files to token files: what `nn-go prepare` does.
//
// Which text. A path is a file or a folder. A folder stands for the regular files below it; names that begin with a dot
// and symbolic links are passed over. Text is UTF-8 without NUL bytes and not empty: a file of a folder that is not text
// is passed over and counted, a file that was named and is not text is an error. A path that comes twice counts once.
//
// Which split. The texts, sorted by the bytes of their paths, are numbered from 0; numbers 19, 39, 59, ... are held out.
// Of fewer than twenty texts the last is held out, if there are at least two.
//
// What is written: tokenizer.json; train.bin and heldout.bin, the tokens of each text followed by the end-of-text id,
// u32 little-endian; data.json.

const (
	// HeldOutEvery: every so manieth text is held out.
	HeldOutEvery    = 20
	encodedTogether = 1 << 20 // bytes of text that are encoded in parallel
)

// Progress is called with what is being done, the texts done and the texts in all.
type Progress func(doing string, done, total int)

// Split is of one .bin file: its texts, tokens (with one end-of-text each) and bytes of text (without).
type Split struct {
	Files  int
	Tokens int
	Bytes  int
}

// ToJSON is its entry in data.json.
func (s Split) ToJSON() *jsonstrict.Object {
	return jsonstrict.NewObject("bytes", s.Bytes, "files", s.Files, "tokens", s.Tokens)
}

// Texts is the text files, sorted by the bytes of their paths, and how many files were passed over.
type Texts struct {
	Paths   []string
	Skipped int
}

// FindTexts: Errors: cannot_read, data_not_text, data_no_files.
func FindTexts(paths []string) (Texts, error) {
	named, found := map[string]bool{}, map[string]bool{}
	for _, path := range paths {
		if !files.IsFolder(path) {
			if files.Exists(path) && !files.IsFile(path) {
				// A pipe can be read once; text is read once to check it and again to encode it.
				return Texts{}, messages.DataNoFiles(path)
			}
			named[path] = true
			continue
		}
		folder := strings.TrimRight(path, "/")
		if folder == "" {
			folder = "/"
		}
		if err := walk(folder, found); err != nil {
			return Texts{}, err
		}
	}
	var all []string
	for path := range named {
		all = append(all, path)
	}
	for path := range found {
		if !named[path] {
			all = append(all, path)
		}
	}
	slices.Sort(all)
	var texts Texts
	for _, path := range all {
		data, err := os.ReadFile(path)
		if err != nil {
			return Texts{}, files.CannotRead(path, err)
		}
		offset := NotTextAt(data)
		if offset >= 0 && named[path] {
			return Texts{}, messages.DataNotText(path, offset)
		}
		if offset >= 0 || len(data) == 0 {
			texts.Skipped++
		} else {
			texts.Paths = append(texts.Paths, path)
		}
	}
	if len(texts.Paths) == 0 {
		return Texts{}, messages.DataNoFiles(strings.Join(paths, ", "))
	}
	return texts, nil
}

func walk(folder string, found map[string]bool) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return files.CannotRead(folder, err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		path := strings.TrimSuffix(folder, "/") + "/" + entry.Name()
		switch {
		case entry.IsDir():
			if err := walk(path, found); err != nil {
				return err
			}
		case entry.Type().IsRegular():
			found[path] = true
		}
	}
	return nil
}

// NotTextAt is the offset of the first byte that is NUL or not UTF-8; -1 for text.
func NotTextAt(data []byte) int {
	nul, broken := bytes.IndexByte(data, 0), jsonstrict.InvalidUTF8(data)
	if nul < 0 || 0 <= broken && broken < nul {
		return broken
	}
	return nul
}

// SplitTexts is (train, held out) of sorted paths, by the rule above.
func SplitTexts(paths []string) (train, heldout []string) {
	if 2 <= len(paths) && len(paths) < HeldOutEvery {
		return paths[:len(paths)-1], paths[len(paths)-1:]
	}
	for index, path := range paths {
		if index%HeldOutEvery == HeldOutEvery-1 {
			heldout = append(heldout, path)
		} else {
			train = append(train, path)
		}
	}
	return train, heldout
}

// encodeTexts is the tokens of each text with the end-of-text id behind them; it counts into split. Errors: cannot_read,
// data_not_text (the file changed meanwhile), tokenizer_no_eos, that of ctx.
func encodeTexts(
	ctx context.Context, paths []string, tok *tokenizer.Tokenizer, split *Split, progress func(done int),
) iter.Seq2[[]uint32, error] {
	return func(yield func([]uint32, error) bool) {
		if tok.EosID < 0 {
			yield(nil, messages.TokenizerNoEos(tok.Where))
			return
		}
		var texts []string
		waiting := 0
		for index, path := range paths {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			data, err := os.ReadFile(path)
			if err != nil {
				yield(nil, files.CannotRead(path, err))
				return
			}
			if offset := NotTextAt(data); offset >= 0 {
				yield(nil, messages.DataNotText(path, offset))
				return
			}
			split.Bytes += len(data)
			waiting += len(data)
			texts = append(texts, string(data))
			if waiting < encodedTogether && index < len(paths)-1 {
				continue
			}
			for _, ids := range tok.EncodeAll(texts) {
				split.Files++
				split.Tokens += len(ids) + 1
				if !yield(append(ids, uint32(tok.EosID)), nil) {
					return
				}
			}
			texts, waiting = nil, 0
			if progress != nil {
				progress(split.Files)
			}
		}
	}
}

// Prepare writes the folder out with tokens of the tokenizer, and returns the content of its data.json.
//
// Learning a vocabulary is for nn-py and nn-rs. Errors: those of FindTexts and of encoding, disk_full, cannot_write, that of
// ctx; then nothing is left behind.
func Prepare(ctx context.Context, paths []string, out string, tok *tokenizer.Tokenizer, progress Progress) (*jsonstrict.Object, error) {
	texts, err := FindTexts(paths)
	if err != nil {
		return nil, err
	}
	train, heldout := SplitTexts(texts.Paths)
	var data *jsonstrict.Object
	outputs := []string{"train.bin", "heldout.bin", "data.json", "tokenizer.json"}
	isOutput := func(name string) bool { return slices.Contains(outputs, name) }
	err = files.SaveFolder(out, isOutput, func(save *files.FolderSave) error {
		if err := save.Write("tokenizer.json", files.Content(tok.JSON)); err != nil {
			return err
		}
		var splits [2]Split
		for i, part := range [][]string{train, heldout} {
			before := splits[0].Files
			if i == 0 {
				before = 0
			}
			report := func(done int) {
				if progress != nil {
					progress("encode", before+done, len(texts.Paths))
				}
			}
			fill := func(w io.Writer) error {
				for ids, err := range encodeTexts(ctx, part, tok, &splits[i], report) {
					if err != nil {
						return err
					}
					if _, err := w.Write(tensor.Bytes(ids)); err != nil {
						return err
					}
				}
				return nil
			}
			if err := save.Write([]string{"train.bin", "heldout.bin"}[i], fill); err != nil {
				return err
			}
		}
		data = jsonstrict.NewObject(
			"bos_id", tok.BosID,
			"eos_id", tok.EosID,
			"heldout", splits[1].ToJSON(),
			"skipped", texts.Skipped,
			"train", splits[0].ToJSON(),
			"version", 1,
			"vocab_size", tok.VocabSize,
		)
		return save.Write("data.json", files.Content(jsonstrict.Dumps(data)))
	})
	return data, err
}
