package bench

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

const small = `{"version": 1, "warmup": 1, "samples": 4, "seconds": 0.01, "cases": [
{"name": "a", "kind": "matmul", "m": 3, "n": 5, "k": 7},
{"name": "b", "kind": "softmax", "rows": 3, "cols": 33},
{"name": "c", "kind": "silu", "n": 17},
{"name": "d", "kind": "call"},
{"name": "e", "kind": "swiglu", "n": 17},
{"name": "f", "kind": "rmsnorm", "rows": 3, "cols": 33},
{"name": "g", "kind": "attention", "batch": 2, "seq": 5, "n_heads": 4, "n_kv_heads": 2, "head_dim": 8},
{"name": "h", "kind": "cross_entropy", "rows": 5, "cols": 3},
{"name": "i", "kind": "adamw", "n": 17},
{"name": "j", "kind": "moe_layer", "config": "tiny", "tokens": 6},
{"name": "k", "kind": "forward", "config": "tiny", "batch": 2, "seq": 3},
{"name": "l", "kind": "train", "config": "tiny", "batch": 2, "seq": 3},
{"name": "m", "kind": "decode", "config": "tiny", "batch": 2, "prompt": 4, "skip": 2, "new": 3},
{"name": "n", "kind": "prefill", "config": "tiny", "batch": 2, "prompt": 4}
]}`

func read(t *testing.T, text string) *Cases {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cases, err := ReadCases(path)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func at(t *testing.T, cases *Cases, number int) *Case {
	t.Helper()
	c, err := cases.At(number)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every kind runs on every device, gives bytes that one more run on fresh work gives again, and is measured.
func TestEveryKind(t *testing.T) {
	cases := read(t, small)
	var met []string
	for number := range cases.Len() {
		kind, err := at(t, cases, number).Kind()
		if err != nil {
			t.Fatal(err)
		}
		met = append(met, kind)
	}
	slices.Sort(met)
	if !slices.Equal(met, slices.Sorted(maps.Keys(kinds))) {
		t.Errorf("kinds are %v", met)
	}
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		for number := range cases.Len() {
			c := at(t, cases, number)
			var outputs [2][]byte
			for i := range outputs {
				w, err := NewWork(backend, c)
				if err != nil {
					t.Fatal(c.where, err)
				}
				var errOutput error
				err = w.Run()
				outputs[i], errOutput = w.Output()
				if err := tensor.First(err, errOutput, w.Close()); err != nil {
					t.Fatal(c.where, err)
				}
			}
			if len(outputs[0]) == 0 || !slices.Equal(outputs[0], outputs[1]) {
				t.Errorf("%s: %d and %d bytes, or others", c.where, len(outputs[0]), len(outputs[1]))
			}
			m, err := Measure(backend, c, cases.Protocol)
			if err != nil || len(m.Samples) < 3 || m.Low > m.Median || m.Median > m.High || m.Name == "" {
				t.Errorf("%s: measured %+v, %v", c.where, m, err)
			}
		}
	})
}

// What a case took is given back; half a MiB at most stays with the context: decode runs its prompt while it is made.
func TestWorkIsReleased(t *testing.T) {
	if why := cuda.WhyNot("cpu"); why != "" {
		t.Skip(why)
	}
	cases := read(t, small)
	for number := range cases.Len() {
		backend := testdevices.Open(t, "cpu", cuda.Options{})
		var during, after [2]int
		for i := range during { // the context keeps what it needs for itself, from the first on
			w, err := NewWork(backend, at(t, cases, number))
			if err != nil {
				t.Fatal(err)
			}
			during[i] = held(t, backend)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			after[i] = held(t, backend)
		}
		if during[1] <= after[0] || after[1] != after[0] || after[0] > 1<<19 {
			t.Errorf("case %d: %d bytes during, %d after", number, during, after)
		}
	}
}

func held(t *testing.T, backend tensor.Backend) int {
	t.Helper()
	now, _, err := backend.(interface {
		Memory() (now, peak int, err error)
	}).Memory()
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// Every sequence has a prompt of its own: equal ones would send a whole batch to the same experts.
func TestPrompts(t *testing.T) {
	got := promptsOf(4, 3, 300)
	for sequence, want := range [][]int{{0, 7, 14}, {131, 138, 145}, {262, 269, 276}, {93, 100, 107}} {
		if !slices.Equal(got[sequence], want) {
			t.Errorf("sequence %d: %v, expected %v", sequence, got[sequence], want)
		}
	}
}

// Inputs are 2 u - 1 of (seed t, stream data), as in every language.
func TestInputs(t *testing.T) {
	backend := tensor.NewReference()
	b := &builder{be: backend, fields: jsonstrict.NewFields(jsonstrict.NewObject(), "")}
	for number := range 3 {
		values, err := tensor.Read[float32](backend, b.input(5), 0, 5)
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range values {
			word := tensor.Philox(uint64(number), uint64(i), tensor.StreamData, 0)[0]
			if want := 2*float32(word>>8)/(1<<24) - 1; got != want {
				t.Errorf("input %d, element %d is %v, expected %v", number, i, got, want)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	backend := tensor.NewReference()
	for _, c := range []struct{ entry, key, sentence string }{
		{`5`, "field_wrong_type", `cases.json: field "cases[0]" is 5, expected an object`},
		{`{"name": "a"}`, "field_missing", `cases.json: cases[0]: field "kind" is missing, expected a string`},
		{`{"kind": "x"}`, "config_bad_value", "cases.json: cases[0]: kind is x, expected one of adamw, attention, call, " +
			"cross_entropy, decode, forward, matmul, moe_layer, prefill, rmsnorm, silu, softmax, swiglu, train"},
		{`{"kind": "silu", "n": 0}`, "config_bad_value", "cases.json: cases[0]: n is 0, expected at least 1"},
		{`{"kind": "train", "batch": 1, "seq": 4}`, "field_missing",
			`cases.json: cases[0]: field "config" is missing, expected a string`},
		{`{"kind": "train", "batch": 1, "seq": 4, "config": "huge"}`, "unknown_preset",
			`unknown preset "huge", expected one of tiny, small, 6.9b, or a config.json`},
		{`{"kind": "train", "batch": 1, "seq": 513, "config": "tiny"}`, "sequence_too_long",
			"a sequence of 513 tokens, expected at most the context of 512"},
	} {
		cases := read(t, `{"version": 1, "warmup": 0, "samples": 1, "seconds": 0.0, "cases": [`+c.entry+`]}`)
		folder := filepath.Dir(cases.where) + "/"
		entry, err := cases.At(0)
		if err == nil {
			_, err = NewWork(backend, entry)
		}
		sentence := c.sentence
		if strings.HasPrefix(sentence, "cases.json") {
			sentence = folder + sentence
		}
		testcases.RequireError(t, err, c.key, sentence)
	}
}
