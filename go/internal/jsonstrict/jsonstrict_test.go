package jsonstrict

import (
	"encoding/hex"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
)

func TestCases(t *testing.T) {
	var cases struct {
		Refused []struct {
			Text, Hex     *string
			Key, Sentence string
		}
		Read []struct{ Text, Compact, Pretty string }
	}
	testcases.Host(t, "json.json", &cases)
	for _, c := range cases.Refused {
		var data []byte
		if c.Text != nil {
			data = []byte(*c.Text)
		} else {
			data, _ = hex.DecodeString(*c.Hex)
		}
		_, err := Loads(data, "x")
		testcases.RequireError(t, err, c.Key, c.Sentence)
	}
	for _, c := range cases.Read {
		value, err := Loads([]byte(c.Text), "x")
		if err != nil {
			t.Errorf("%s: %v", c.Text, err)
			continue
		}
		if got := DumpsCompact(value); got != c.Compact {
			t.Errorf("compact: got %s, want %s", got, c.Compact)
		}
		if got := Dumps(value); got != c.Pretty {
			t.Errorf("pretty: got %s, want %s", got, c.Pretty)
		}
	}
	if len(cases.Refused) < 25 || len(cases.Read) < 8 {
		t.Errorf("only %d and %d cases", len(cases.Refused), len(cases.Read))
	}
}

func TestFormatFloat(t *testing.T) {
	var cases struct {
		FloatText [][2]string `json:"float_text"`
	}
	testcases.Host(t, "numbers.json", &cases)
	for _, c := range cases.FloatText {
		if got := FormatFloat(testcases.F64(t, c[0])); got != c[1] {
			t.Errorf("%s: got %s, want %s", c[0], got, c[1])
		}
	}
}

// FuzzLoads: whatever is read is written to something that reads the same.
func FuzzLoads(f *testing.F) {
	for _, seed := range []string{`{"a": [1, -0, 1.5e3, "é\n\ud83d\ude00"], "b": null}`, `[[[]]]`, `"\u0000"`, `1e999`, "\xff", `{"a":1,"a":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		value, err := Loads(data, "x")
		if err != nil {
			return
		}
		for _, text := range []string{Dumps(value), DumpsCompact(value)} {
			again, err := Loads([]byte(text), "x")
			if err != nil {
				t.Fatalf("%q was written as %q: %v", data, text, err)
			}
			if DumpsCompact(again) != DumpsCompact(value) {
				t.Fatalf("%q was written as %q", data, text)
			}
		}
	})
}
