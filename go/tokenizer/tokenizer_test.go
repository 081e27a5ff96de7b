package tokenizer

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

type corpus struct {
	Cases []struct {
		Text, Decoded string
		IDs           []uint32
	}
	Broken []struct {
		Hex, Decoded string
		IDs          []int
	}
	Added []struct {
		Entries     json.RawMessage
		Text        string
		IDs         []uint32
		Largest     int
		LastDecoded string `json:"last_decoded"`
	}
}

// hard is texts with the ids that the tokenizers library gives them (see testdata/generate.py).
func hard(t testing.TB) (*Tokenizer, corpus) {
	t.Helper()
	tok, err := Load("testdata/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/corpus.json")
	if err != nil {
		t.Fatal(err)
	}
	var c corpus
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return tok, c
}

func TestSameIDsAsTheLibrary(t *testing.T) {
	tok, c := hard(t)
	var texts []string
	for _, each := range c.Cases {
		texts = append(texts, each.Text)
		if got := tok.Encode(each.Text); !slices.Equal(got, each.IDs) {
			t.Errorf("%.60q: got %v, want %v", each.Text, got, each.IDs)
		}
		if got := tok.Decode(ints(each.IDs)); got != each.Decoded {
			t.Errorf("%v: decoded %.60q, want %.60q", each.IDs, got, each.Decoded)
		}
	}
	for i, got := range tok.EncodeAll(texts) {
		if !slices.Equal(got, c.Cases[i].IDs) {
			t.Errorf("%.60q together with others: got %v", texts[i], got)
		}
	}
	if len(c.Cases) < 50 {
		t.Errorf("only %d cases", len(c.Cases))
	}
}

func TestBytesThatAreNotUTF8(t *testing.T) {
	tok, c := hard(t)
	for _, each := range c.Broken {
		if got := tok.Decode(each.IDs); got != each.Decoded {
			t.Errorf("%s: decoded %+q, want %+q", each.Hex, got, each.Decoded)
		}
		data, _ := hex.DecodeString(each.Hex)
		if got, want := tok.Encode(string(data)), tok.Encode(each.Decoded); !slices.Equal(got, want) {
			t.Errorf("%s: encoded as %v, want as its text %v", each.Hex, got, want)
		}
	}
}

// An added token has the model's id or the next free one; one that is special is no part of text.
func TestAddedTokens(t *testing.T) {
	tok, c := hard(t)
	for _, each := range c.Added {
		head, tail, found := strings.Cut(string(tok.JSON), "\n  ],\n  \"normalizer\"")
		entries := strings.Trim(string(each.Entries), "[]")
		added, err := New([]byte(head+", "+entries+"\n  ],\n  \"normalizer\""+tail), "f")
		if err != nil || !found {
			t.Fatal(entries, err)
		}
		if got := added.Encode(each.Text); !slices.Equal(got, each.IDs) || added.VocabSize != each.Largest+1 {
			t.Errorf("%s: got %v of %d, want %v of %d", entries, got, added.VocabSize, each.IDs, each.Largest+1)
		}
		last := []int{each.Largest - 3, each.Largest - 2, each.Largest - 1, each.Largest}
		if got := added.Decode(last); got != each.LastDecoded {
			t.Errorf("%s: decoded %q, want %q", entries, got, each.LastDecoded)
		}
	}
	if len(c.Added) < 3 {
		t.Errorf("only %d cases", len(c.Added))
	}
}

func ints(ids []uint32) []int {
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out
}

func TestBytes(t *testing.T) {
	tok := Bytes()
	if tok.VocabSize != 259 || tok.BosID != 1 || tok.EosID != 2 {
		t.Errorf("vocabulary %d, bos %d, eos %d", tok.VocabSize, tok.BosID, tok.EosID)
	}
	if got := tok.Encode("aé"); !slices.Equal(got, []uint32{3 + 'a', 3 + 0xC3, 3 + 0xA9}) {
		t.Errorf("got %v", got)
	}
}

func TestRefused(t *testing.T) {
	for _, data := range []string{"", "{}", "[]", `{"model":{"type":"WordPiece","vocab":{"a":0}}}`} {
		if _, err := New([]byte(data), "f"); err == nil || err.Error() != "f: not a tokenizer, expected the tokenizer.json of the tokenizers library" {
			t.Errorf("%q: %v", data, err)
		}
	}
	if _, err := Load("testdata/none.json"); err == nil || err.Error() != "testdata/none.json: no such file, expected a tokenizer.json" {
		t.Error(err)
	}
}

// FuzzEncode: any text decodes to itself, whatever stands around it in a batch.
func FuzzEncode(f *testing.F) {
	tok, c := hard(f)
	for _, each := range c.Cases {
		if len(each.Text) < 200 {
			f.Add(each.Text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		want := validText(text)
		if !utf8.ValidString(want) {
			t.Fatalf("%q is not UTF-8", want)
		}
		if got := tok.Decode(ints(tok.Encode(text))); got != want {
			t.Fatalf("%q came back as %q", want, got)
		}
	})
}

// FuzzRead: no content makes the reader panic, and what it takes encodes and decodes.
func FuzzRead(f *testing.F) {
	data, err := os.ReadFile("testdata/tokenizer.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(Bytes().JSON)
	f.Add([]byte(`{"model":{"vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true},"decoder":{"type":"ByteLevel"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := New(data, "f")
		if err != nil {
			return
		}
		tok.Decode(ints(tok.Encode("it's a  text é\r\n")))
	})
}
