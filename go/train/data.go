package train

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/tensor"
	"github.com/cuda-nn/cuda-nn/go/tokenizer"
)

const dataKind = "folder written by prepare"

// Ignored is a target that does not count.
const Ignored = -1

// Tokens is one split. Bytes counts the text it came from, without end-of-text; for bits per byte.
type Tokens struct {
	Path  string
	IDs   []uint32
	Bytes int
}

// batchStart is where row r of micro-batch a of A at step s begins among n tokens: mulhi64(draw((s A + a) rows + r), n - T),
// uniform over the n - T places from which T + 1 tokens can be read; draw(i) is the u64 of Philox block (i, data, 0).
func batchStart(seed uint64, step, microBatches, microBatch, rows, row, tokens, seqLen int) int {
	index := uint64((step*microBatches+microBatch)*rows + row)
	return int(tensor.MulHi64(tensor.DrawU64(seed, index, tensor.StreamData, 0), uint64(tokens-seqLen)))
}

// Batch fills (inputs, targets) [rows, seq_len] of micro-batch a of A = microBatches at step s; targets are the inputs
// shifted by one; see batchStart. Errors: data_too_short.
func (t *Tokens) Batch(inputs, targets []int32, seed uint64, step, microBatches, microBatch, rows, seqLen int) error {
	if err := t.Require(seqLen); err != nil {
		return err
	}
	for row := range rows {
		start := batchStart(seed, step, microBatches, microBatch, rows, row, len(t.IDs), seqLen)
		for i := range seqLen {
			inputs[row*seqLen+i] = int32(t.IDs[start+i])
			targets[row*seqLen+i] = int32(t.IDs[start+i+1])
		}
	}
	return nil
}

// Require: Errors: data_too_short when no sequence of seqLen with its targets fits.
func (t *Tokens) Require(seqLen int) error {
	if len(t.IDs) < seqLen+1 {
		return messages.DataTooShort(t.Path, len(t.IDs), seqLen, seqLen+1)
	}
	return nil
}

// NWindows is the windows of seqLen that cover every target once: ceil((n - 1) / T).
func (t *Tokens) NWindows(seqLen int) int { return max(0, (len(t.IDs)-1+seqLen-1)/seqLen) }

// Windows fills (inputs, targets) [rows, seq_len]: the windows of these numbers, window w reading tokens from w T on.
//
// Behind the last token, and in rows beyond the numbers given, inputs are 0 and targets Ignored, so that all windows
// together count each token but the very first exactly once.
func (t *Tokens) Windows(inputs, targets []int32, numbers []int, rows, seqLen int) {
	for row := range rows {
		start, count := 0, 0
		if row < len(numbers) {
			start = numbers[row] * seqLen
			count = max(0, min(seqLen, len(t.IDs)-1-start))
		}
		for i := range seqLen {
			at := row*seqLen + i
			inputs[at], targets[at] = 0, Ignored
			if i < count {
				inputs[at], targets[at] = int32(t.IDs[start+i]), int32(t.IDs[start+i+1])
			}
		}
	}
}

// Data is a folder written by prepare, its tokens memory-mapped until Close.
type Data struct {
	Path      string
	Train     Tokens
	Heldout   Tokens
	VocabSize int
	BosID     int
	EosID     int
	unmap     []func() error
}

// TokenizerPath is where its tokenizer.json is.
func (d *Data) TokenizerPath() string { return files.Join(d.Path, "tokenizer.json") }

// Split is "train" or "heldout". Errors: data_empty_split.
func (d *Data) Split(name string) (*Tokens, error) {
	tokens := &d.Heldout
	if name == "train" {
		tokens = &d.Train
	}
	if len(tokens.IDs) == 0 {
		return nil, messages.DataEmptySplit(d.Path, name)
	}
	return tokens, nil
}

// Close unmaps the tokens. Closing twice is allowed.
func (d *Data) Close() error {
	var err error
	for _, unmap := range d.unmap {
		err = tensor.First(err, unmap())
	}
	d.unmap, d.Train.IDs, d.Heldout.IDs = nil, nil, nil
	return err
}

// IsPrepared says whether a folder was written by prepare.
func IsPrepared(path string) bool { return files.IsFile(files.Join(path, "data.json")) }

// PreparedOf is the prepared folder among what was given as data, "" when all of it is text. A path that comes twice counts
// once. Errors: data_prepared_not_alone.
func PreparedOf(paths []string) (string, error) {
	for _, path := range paths {
		if !IsPrepared(path) {
			continue
		}
		if slices.ContainsFunc(paths, func(other string) bool { return other != path }) {
			return "", messages.DataPreparedNotAlone(path)
		}
		return path, nil
	}
	return "", nil
}

// LoadData opens and checks a prepared folder. Errors: folder_missing, not_a_folder, data_not_prepared, cannot_read,
// json_*, field_*, data_wrong_size, data_bad_token.
func LoadData(path string) (*Data, error) {
	path = files.Plain(path)
	if err := files.RequireFolder(path, dataKind); err != nil {
		return nil, err
	}
	if err := files.Recover(path); err != nil {
		return nil, files.CannotWrite(path, err)
	}
	if !IsPrepared(path) {
		return nil, messages.DataNotPrepared(path)
	}
	where := files.Join(path, "data.json")
	content, err := files.ReadBytes(where, dataKind)
	if err != nil {
		return nil, err
	}
	object, err := jsonstrict.LoadsObject(content, where)
	if err != nil {
		return nil, err
	}
	fields := jsonstrict.NewFields(object, where)
	if version := fields.Integer("version"); fields.Err() == nil && version != 1 {
		return nil, messages.ConfigBadValue(where, "version", strconv.Itoa(version), "1")
	}
	d := &Data{Path: path, VocabSize: fields.Integer("vocab_size")}
	for _, split := range []struct {
		name string
		into *Tokens
	}{{"train", &d.Train}, {"heldout", &d.Heldout}} {
		counts := fields.Object(split.name, where+": "+split.name)
		tokens, bytes := counts.Integer("tokens"), counts.Integer("bytes")
		if err := fields.Err(); err != nil {
			return nil, tensor.First(err, d.Close())
		}
		if err := d.openTokens(split.into, files.Join(path, split.name+".bin"), tokens, bytes); err != nil {
			return nil, tensor.First(err, d.Close())
		}
	}
	d.BosID, d.EosID = fields.Integer("bos_id"), fields.Integer("eos_id")
	if err := fields.Err(); err != nil {
		return nil, tensor.First(err, d.Close())
	}
	return d, nil
}

func (d *Data) openTokens(into *Tokens, path string, tokens, bytes int) error {
	if info, err := os.Stat(path); err == nil && info.Size() != 4*int64(tokens) {
		return messages.DataWrongSize(path, int(info.Size()), 4*tokens, tokens)
	}
	data, unmap, err := files.Map(path, dataKind)
	if err != nil {
		return err
	}
	d.unmap = append(d.unmap, unmap)
	into.Path, into.Bytes = path, bytes
	if len(data) > 0 {
		into.IDs = unsafe.Slice((*uint32)(unsafe.Pointer(&data[0])), len(data)/4) // a map begins at a page
	}
	for position, id := range into.IDs {
		if int(id) >= d.VocabSize {
			return messages.DataBadToken(path, int(id), position, d.VocabSize)
		}
	}
	return nil
}

// TokensOfText is all texts of paths as one split in memory, each followed by end-of-text: to evaluate on raw text.
//
// Errors: those of FindTexts and of encoding.
func TokensOfText(paths []string, tok *tokenizer.Tokenizer) (*Tokens, error) {
	texts, err := FindTexts(paths)
	if err != nil {
		return nil, err
	}
	var split Split
	tokens := &Tokens{Path: strings.Join(paths, ", ")}
	for ids, err := range encodeTexts(context.Background(), texts.Paths, tok, &split, nil) {
		if err != nil {
			return nil, err
		}
		tokens.IDs = append(tokens.IDs, ids...)
	}
	tokens.IDs, tokens.Bytes = slices.Clip(tokens.IDs), split.Bytes
	return tokens, nil
}
