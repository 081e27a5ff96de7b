package model_test

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

var goldenNames = []string{"tiny", "gqa-top3", "bf16-sharded"}

// eachGolden runs a test for every whole model of cuda/vectors/golden on every device here.
func eachGolden(t *testing.T, test func(t *testing.T, folder string, golden *model.SafetensorsFile, backend tensor.Backend)) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		for _, name := range goldenNames {
			t.Run(name, func(t *testing.T) {
				folder := testcases.Golden(name)
				golden, err := model.OpenSafetensorsFile(filepath.Join(folder, "golden.safetensors"), "golden folder")
				if err != nil {
					t.Fatal(err)
				}
				defer golden.Close()
				test(t, folder, golden, backend)
			})
		}
	})
}

func f32Model(t *testing.T, folder string, backend tensor.Backend) *model.MoETransformer {
	t.Helper()
	dtype := tensor.F32
	m, err := model.LoadMoETransformer(folder, backend, model.LoadOptions{DType: &dtype})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func ids(t *testing.T, file *model.SafetensorsFile, name string) []int {
	t.Helper()
	data, err := file.Array(name)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]int, len(data)/4)
	for i := range values {
		values[i] = int(int32(uint32(data[4*i]) | uint32(data[4*i+1])<<8 | uint32(data[4*i+2])<<16 | uint32(data[4*i+3])<<24))
	}
	return values
}

func TestLogits(t *testing.T) {
	eachGolden(t, func(t *testing.T, folder string, golden *model.SafetensorsFile, backend tensor.Backend) {
		m := f32Model(t, folder, backend)
		shape := golden.Tensors["input_ids"].Shape
		got, err := m.ForwardIDs(ids(t, golden, "input_ids"), shape[0], shape[1])
		if err != nil {
			t.Fatal(err)
		}
		want, err := golden.F32("logits")
		if err != nil {
			t.Fatal(err)
		}
		largest, off, at := 0.0, 0.0, 0
		for i, truth := range want {
			largest = math.Max(largest, math.Abs(float64(truth)))
			if missed := math.Abs(float64(got[i]) - float64(truth)); !(missed <= off) {
				off, at = missed, i
			}
		}
		if off > 2e-5*largest {
			t.Errorf("logits[%d] is %v, expected %v", at, got[at], want[at])
		}
	})
}

func TestGreedy(t *testing.T) {
	eachGolden(t, func(t *testing.T, folder string, golden *model.SafetensorsFile, backend tensor.Backend) {
		m := f32Model(t, folder, backend)
		want := ids(t, golden, "greedy_ids")
		got, err := model.Generate(context.Background(), m, [][]int{want[:8]}, len(want)-8, model.Greedy,
			model.GeneratorOptions{IgnoreEos: true})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[0], want[8:]) {
			t.Errorf("got %v, want %v", got[0], want[8:])
		}
	})
}

// What a sequence gets does not depend on its neighbours, nor on the cache: decoding in a batch is decoding alone.
func TestBatchIsAlone(t *testing.T) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		m, err := model.NewMoETransformer(model.TinyMoEConfig(), backend, model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		sampling := model.Sampling{Temperature: 1, TopK: 50, TopP: 0.9, Seed: 5}
		prompts := [][]int{{1, 2, 3}, {4, 5, 6, 7, 8, 9}, {10}}
		together, err := model.Generate(context.Background(), m, prompts, 12, sampling, model.GeneratorOptions{IgnoreEos: true})
		if err != nil {
			t.Fatal(err)
		}
		for b, prompt := range prompts {
			alone, err := model.Generate(context.Background(), m, [][]int{prompt}, 12, sampling,
				model.GeneratorOptions{IgnoreEos: true, FirstSample: b})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(alone[0], together[b]) {
				t.Errorf("sequence %d: alone %v, together %v", b, alone[0], together[b])
			}
		}
	})
}

func TestGenerationIsCancelled(t *testing.T) {
	m := model.NewTiny()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	g, err := model.NewGenerator(m, [][]int{{1, 2, 3}}, 100, model.Greedy, model.GeneratorOptions{IgnoreEos: true})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	made := 0
	for _, err := range g.All(ctx) {
		if err != nil {
			if err != context.Canceled || made != 3 {
				t.Errorf("after %d tokens: %v", made, err)
			}
			return
		}
		if made++; made == 3 {
			cancel()
		}
	}
	t.Error("it was not cancelled")
}

func TestSavedAgainIsTheSame(t *testing.T) {
	for _, name := range goldenNames {
		m, err := model.LoadMoETransformer(testcases.Golden(name), tensor.NewReference(), model.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		saved := filepath.Join(t.TempDir(), "saved")
		if err := m.Save(saved, model.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		first, errFirst := model.LoadCheckpoint(testcases.Golden(name))
		second, errSecond := model.LoadCheckpoint(saved)
		if err := tensor.First(errFirst, errSecond); err != nil {
			t.Fatal(err)
		}
		if first.Config != second.Config {
			t.Errorf("%s: %+v became %+v", name, first.Config, second.Config)
		}
		for tensorName := range first.DTypes {
			a, errA := first.Array(tensorName)
			b, errB := second.Array(tensorName)
			if err := tensor.First(errA, errB); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(a, b) {
				t.Errorf("%s: %s changed", name, tensorName)
			}
		}
		if err := tensor.First(first.Close(), second.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestRefusedIDs(t *testing.T) {
	m := model.NewTiny()
	for _, c := range []struct {
		ids           []int
		batch, seqLen int
		key, sentence string
	}{
		{nil, 1, 0, "no_ids", "no token ids, expected at least one"},
		{[]int{1, 2, 3}, 2, 2, "ids_wrong_count", "3 token ids, expected batch x seq_len = 2 x 2"},
		{[]int{1, 1000}, 1, 2, "id_out_of_range", "token id 1000 at position 1, expected 0 to 999"},
		{make([]int, 513), 1, 513, "sequence_too_long", "a sequence of 513 tokens, expected at most the context of 512"},
	} {
		_, err := m.ForwardIDs(c.ids, c.batch, c.seqLen)
		testcases.RequireError(t, err, c.key, c.sentence)
	}
}

// FuzzSafetensors: no bytes make the reader panic, and what it takes can be read and written to the same tensors.
func FuzzSafetensors(f *testing.F) {
	f.Add(append(model.HeaderBytes([]model.TensorEntry{{Name: "a", DType: "F32", Shape: tensor.Shape{2}}}, model.PTMetadata()), make([]byte, 8)...))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Add([]byte("\x50\x00\x00\x00\x00\x00\x00\x00" + `{"a":{"dtype":"U64","shape":[4611686018427387904,4],"data_offsets":[0,0]}}       `))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := model.ReadSafetensors(data, "f")
		if err != nil {
			return
		}
		total := 0
		for _, name := range file.Names {
			array, err := file.Array(name)
			if err != nil {
				t.Fatal(err)
			}
			total += len(array)
		}
		if total > len(data) {
			t.Fatalf("%d bytes of tensors in %d", total, len(data))
		}
	})
}
