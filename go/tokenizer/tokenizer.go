// Package tokenizer turns text into token ids and back, as the tokenizers library does from the same tokenizer.json.
//
// It reads byte-level BPE (GPT-2's splitting): any text can be encoded, and decodes to itself. Text that happens to
// contain "</s>" is text: special tokens enter by their ids alone, which the Go modules that read this file cannot be
// asked for. Tokenizers of ours have ids 0, 1, 2 for <unk>, <s>, </s>.
package tokenizer

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
)

// SpecialTokens are the first of every vocabulary that we make.
var SpecialTokens = []string{"<unk>", "<s>", "</s>"}

var (
	bos = []string{"<s>"}
	eos = []string{"</s>", "<|endoftext|>"}
)

// Tokenizer: JSON is the content of its tokenizer.json; VocabSize is the largest id plus one; an id of -1 is none. It may
// be used by many goroutines at once.
type Tokenizer struct {
	JSON      []byte
	Where     string
	VocabSize int
	BosID     int
	EosID     int

	bpe            bpe
	ids            map[string]int
	tokens         map[int]string
	special        map[int]bool
	literal        []string // added tokens that are found in text, the longest first among those that begin alike
	normalize      func(string) string
	addPrefixSpace bool
	useRegex       bool
}

// New reads the content of a tokenizer.json; where opens the sentence of an error. Errors: tokenizer_bad.
func New(data []byte, where string) (*Tokenizer, error) {
	t := &Tokenizer{JSON: data, Where: where, BosID: -1, EosID: -1}
	if err := t.read(data); err != nil {
		return nil, messages.TokenizerBad(where)
	}
	for _, id := range t.ids {
		t.VocabSize = max(t.VocabSize, id+1)
	}
	t.BosID, t.EosID = t.firstOf(bos), t.firstOf(eos)
	return t, nil
}

// Load reads the file of a tokenizer. Errors: tokenizer_missing, cannot_read, tokenizer_bad.
func Load(path string) (*Tokenizer, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, messages.TokenizerMissing(path)
	}
	if err != nil {
		return nil, files.CannotRead(path, err)
	}
	return New(data, path)
}

// Bytes is one token per byte: id = 3 + byte.
func Bytes() *Tokenizer {
	t, err := New([]byte(jsonstrict.Dumps(bytesJSON())), "tokenizer.json")
	if err != nil {
		panic(err) // bytesJSON is a tokenizer
	}
	return t
}

func (t *Tokenizer) firstOf(tokens []string) int {
	for _, token := range tokens {
		if id, there := t.ids[token]; there {
			return id
		}
	}
	return -1
}

// Encode is the ids of text, without special tokens. What is not UTF-8 is read as U+FFFD.
func (t *Tokenizer) Encode(text string) []uint32 {
	return t.encode(nil, text, map[string][]uint32{})
}

// mostCached bounds the memory of one call's cache of words.
const mostCached = 1 << 16

func (t *Tokenizer) encode(ids []uint32, text string, cache map[string][]uint32) []uint32 {
	text = validText(text)
	for text != "" {
		at, token := len(text), ""
		for _, literal := range t.literal {
			if found := strings.Index(text, literal); found >= 0 && found < at {
				at, token = found, literal
			}
		}
		ids = t.encodePlain(ids, text[:at], cache)
		if token != "" {
			ids = append(ids, uint32(t.ids[token]))
		}
		text = text[at+len(token):]
	}
	return ids
}

func (t *Tokenizer) encodePlain(ids []uint32, text string, cache map[string][]uint32) []uint32 {
	if text == "" {
		return ids
	}
	text = t.normalize(text)
	if t.addPrefixSpace && !strings.HasPrefix(text, " ") {
		text = " " + text
	}
	for text != "" {
		size := len(text)
		if t.useRegex {
			size = wordLength(text)
		}
		word := text[:size]
		text = text[size:]
		known, there := cache[word]
		if !there {
			known = t.bpe.encode(word)
			if len(cache) < mostCached {
				cache[strings.Clone(word)] = known
			}
		}
		ids = append(ids, known...)
	}
	return ids
}

// Decode is the text of ids without special tokens; bytes that are not UTF-8 become U+FFFD, and an id that the
// vocabulary lacks becomes nothing.
func (t *Tokenizer) Decode(ids []int) string {
	var bytes []byte
	for _, id := range ids {
		if token, there := t.tokens[id]; there && !t.special[id] {
			bytes = appendBytes(bytes, token)
		}
	}
	return validText(string(bytes))
}

// Token is the token as the vocabulary spells it, "" for an id that it lacks.
func (t *Tokenizer) Token(id int) string { return t.tokens[id] }

var forms = map[string]func(string) string{
	"NFC": norm.NFC.String, "NFD": norm.NFD.String, "NFKC": norm.NFKC.String, "NFKD": norm.NFKD.String,
}
