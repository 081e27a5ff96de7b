package gobench

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const small = `{"version": 1, "warmup": 0, "samples": 1, "seconds": 0.0, "cases": [
{"name": "matmul", "kind": "matmul", "m": 5, "n": 7, "k": 33},
{"name": "softmax", "kind": "softmax", "rows": 3, "cols": 65},
{"name": "silu", "kind": "silu", "n": 33},
{"name": "swiglu", "kind": "swiglu", "n": 33},
{"name": "rmsnorm", "kind": "rmsnorm", "rows": 3, "cols": 65},
{"name": "attention", "kind": "attention", "batch": 1, "seq": 9, "n_heads": 4, "n_kv_heads": 2, "head_dim": 8},
{"name": "cross_entropy", "kind": "cross_entropy", "rows": 5, "cols": 33},
{"name": "adamw", "kind": "adamw", "n": 33},
{"name": "moe_layer", "kind": "moe_layer", "config": "tiny", "tokens": 6},
{"name": "forward", "kind": "forward", "config": "tiny", "batch": 2, "seq": 3},
{"name": "train", "kind": "train", "config": "tiny", "batch": 2, "seq": 3},
{"name": "prefill", "kind": "prefill", "config": "tiny", "batch": 2, "prompt": 4},
{"name": "decode", "kind": "decode", "config": "tiny", "batch": 2, "prompt": 4, "skip": 2, "new": 3}
]}`

func smallCases(t *testing.T) (cases []Case, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(file, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	cases, err := readCases(file)
	if err != nil {
		t.Fatal(err)
	}
	return cases, file
}

// Every row that applies passes its check and can be run again.
func TestEveryRowIsRight(t *testing.T) {
	cases, _ := smallCases(t)
	met := map[string]int{}
	makes := &maker{threads: 1}
	for _, c := range cases {
		for _, row := range allRows {
			here, err := applies(c, row)
			if err != nil {
				t.Fatal(err)
			}
			if !here {
				continue
			}
			met[row]++
			s, err := makes.subject(c, row)
			if err != nil {
				t.Errorf("%s, %s: %v", c.Name, row, err)
				continue
			}
			if err := s.run(); err != nil || s.share != 1 || s.units <= 0 || s.implementation == "" {
				t.Errorf("%s, %s: %+v, %v", c.Name, row, s, err)
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
		}
	}
	if met["naive"] != 8 || met["library"] != 6 || met["reference"] != 5 {
		t.Errorf("rows met: %v", met)
	}
}

// An output that is off by more than rounding is refused, in each of a case's outputs.
func TestWrongOutputIsRefused(t *testing.T) {
	cases, _ := smallCases(t)
	makes := &maker{threads: 1}
	for _, c := range cases {
		if naive[c.Kind] == nil {
			continue
		}
		if err := makes.expect(c); err != nil {
			t.Fatal(err)
		}
		sizes, err := c.sizes(operands[c.Kind]...)
		if err != nil {
			t.Fatal(err)
		}
		l := naive[c.Kind](sizes, inputs(c.Kind, sizes))
		l.run()
		check := func() error { return compare(c.Kind, sizes, inputs(c.Kind, sizes), l, makes.expected.output) }
		if err := check(); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		for number, output := range l.outputs {
			for _, wrong := range []float32{output[0] * 1.01, output[0] + 0.1, float32(math.NaN())} {
				was := output[0]
				if output[0] = wrong; wrong != was && check() == nil {
					t.Errorf("%s: output %d is %v for %v, and nobody noticed", c.Name, number, wrong, was)
				}
				output[0] = was
			}
			for _, wrong := range [][]float32{nil, output[:len(output)-1], append(slices.Clone(output), 0)} {
				if l.outputs[number] = wrong; check() == nil {
					t.Errorf("%s: output %d has %d elements for %d, and nobody noticed", c.Name, number, len(wrong), len(output))
				}
			}
			l.outputs[number] = output
		}
		every := l.outputs
		for _, wrong := range [][][]float32{nil, every[:len(every)-1], append(slices.Clone(every), every[0])} {
			if l.outputs = wrong; check() == nil {
				t.Errorf("%s: %d outputs for %d, and nobody noticed", c.Name, len(wrong), len(every))
			}
		}
	}
}

func TestModelsCompare(t *testing.T) {
	one, near, far := []byte{0, 0, 128, 63}, []byte{10, 0, 128, 63}, []byte{0, 32, 128, 63} // 1, 1 + 10 ulp, 1 + 2^-10
	for _, c := range []struct {
		kind      string
		got, want []byte
		same      bool
	}{
		{"forward", one, near, true}, {"forward", one, far, false},
		{"forward", one, nil, false}, {"decode", one, one, true}, {"decode", one, near, false},
	} {
		if err := compareModels(c.kind, c.got, c.want, nil); (err == nil) != c.same {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A device whose output is off by more than rounding is refused.
func TestDevicesCompare(t *testing.T) {
	cases, _ := smallCases(t)
	makes := &maker{threads: 1}
	for _, c := range cases {
		if naive[c.Kind] == nil {
			continue
		}
		if err := makes.expect(c); err != nil {
			t.Fatal(err)
		}
		want := makes.expected.output
		if err := compareDevices(c, want, want, nil); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		spoiled := slices.Clone(want)
		spoiled[len(spoiled)-2] ^= 64 // half a binade or more
		if compareDevices(c, spoiled, want, nil) == nil || compareDevices(c, want[4:], want, nil) == nil {
			t.Errorf("%s: nobody noticed", c.Name)
		}
	}
}

// No step, half of one, one the other way and a weight that is far off are noticed.
func TestStepsCompare(t *testing.T) {
	const lr = 1e-4
	start, want := make([]float32, 1000), make([]float32, 1000)
	for i := range start {
		start[i] = float32(i) / 1000
		want[i] = start[i] + lr*float32(1-i%3) // one in three stays
	}
	other := func(by float32) []float32 {
		got := slices.Clone(start)
		for i := range got {
			got[i] += by * (want[i] - start[i])
		}
		return got
	}
	few, far := slices.Clone(want), slices.Clone(want)
	few[0], far[0] = start[0], start[0]+3*lr+lr
	for _, c := range []struct {
		name string
		got  []float32
		same bool
	}{
		{"the step", want, true}, {"one weight the other way", few, true}, {"no step", start, false},
		{"half a step", other(0.5), false}, {"the other way", other(-1), false}, {"far", far, false},
	} {
		if err := compareSteps(c.got, want, start, lr); (err == nil) != c.same {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if compareSteps(start, start, start, lr) == nil {
		t.Error("two devices that did nothing are equal")
	}
}

func TestProtocol(t *testing.T) {
	_, file := smallCases(t)
	t.Setenv("BENCH_CASES_FILE", file)
	for _, variable := range []string{"BENCH_CASES", "BENCH_ROWS", "BENCH_SECONDS", "BENCH_SAMPLES", "BENCH_LONG_SAMPLES", "BENCH_THREADS"} {
		t.Setenv(variable, "")
	}
	p, err := ReadProtocol()
	if err != nil || len(p.Cases) != 13 || !slices.Equal(p.Rows, allRows) || p.Samples != 15 || p.LongSamples != 4 || p.Seconds != 1 {
		t.Errorf("by default %+v, %v", p, err)
	}
	t.Setenv("BENCH_CASES", "silu,adamw,")
	t.Setenv("BENCH_ROWS", "cpu")
	t.Setenv("BENCH_SAMPLES", "4")
	p, err = ReadProtocol()
	if err != nil || len(p.Cases) != 2 || p.Cases[1].Name != "adamw" || !slices.Equal(p.Rows, []string{"cpu"}) || p.Samples != 10 {
		t.Errorf("asked for two %+v, %v", p, err)
	}
	for _, c := range []struct{ variable, value, sentence string }{
		{"BENCH_CASES", "nope", "BENCH_CASES names nope, which is none of matmul, softmax"},
		{"BENCH_ROWS", "gpu", "BENCH_ROWS names gpu, which is none of naive, library, reference, cpu, cpu-scalar, cuda"},
		{"BENCH_SECONDS", "-1", "BENCH_SECONDS is -1, expected a number of at least 0"},
		{"BENCH_SECONDS", "nan", "BENCH_SECONDS is nan, expected a number of at least 0"},
	} {
		t.Run(c.variable, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			if _, err := ReadProtocol(); err == nil || !strings.HasPrefix(err.Error(), c.sentence) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A row has the fields of the schema, its times are those of the whole case, and what a run allocates is counted.
func TestRow(t *testing.T) {
	cases, _ := smallCases(t)
	counts := newReader()
	before := counts.read()
	kept := make([][]byte, 100)
	for i := range kept {
		kept[i] = make([]byte, 4096)
	}
	var m measurement
	m.spent.add(before, counts.read())
	m.samples, m.iterations = []float64{0.5, 0.25}, []int{2, 3}
	row := m.row(cases[0], "naive", &subject{share: 0.5, units: 7, unit: "flop", threads: 1})
	if row.CPUSeconds <= 0 {
		t.Errorf("%v processor seconds", row.CPUSeconds)
	}
	if row.Allocations < 100/2.5 || row.AllocatedBytes < 100*4096/2.5 || len(kept[99]) != 4096 {
		t.Errorf("counted %v allocations of %v bytes", row.Allocations, row.AllocatedBytes)
	}
	path := filepath.Join(t.TempDir(), "rows.json")
	if err := writeRows(path, []Row{row}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Version int
		Rows    []map[string]any
	}
	if err := json.Unmarshal(text, &read); err != nil || read.Version != 1 {
		t.Fatal(err)
	}
	for _, name := range []string{"case", "language", "row", "implementation", "harness", "threads", "isa", "samples", "iterations",
		"fraction", "units", "unit", "checksum", "checked", "allocations", "allocated_bytes", "gc_seconds", "cpu_seconds", "peak_rss_bytes"} {
		if _, there := read.Rows[0][name]; !there {
			t.Errorf("a row has no %s", name)
		}
	}
}
