package model

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// quantizedFolder is a tiny model's folder in f32, and the same with blocks.
func quantizedFolder(t *testing.T, backend tensor.Backend, kind string) (float, blocks string) {
	t.Helper()
	float, blocks = filepath.Join(t.TempDir(), "float"), filepath.Join(t.TempDir(), "blocks")
	m := must[*MoETransformer](t)(NewMoETransformer(TinyMoEConfig(), backend, Options{Seed: 3}))
	if err := m.Save(float, SaveOptions{Tokenizer: []byte("{}\n")}); err != nil {
		t.Fatal(err)
	}
	checkpoint := must[*Checkpoint](t)(LoadCheckpoint(float))
	count := 0
	config := must[MoEConfig](t)(QuantizeCheckpoint(checkpoint, blocks, kind, backend, func(done int) error { count = done; return nil }))
	if err := tensor.First(m.Close(), checkpoint.Close()); err != nil {
		t.Fatal(err)
	}
	if config.Quantization != kind || count != len(ParameterSpecs(config)) {
		t.Errorf("%s: %d of %d tensors", config.Quantization, count, len(ParameterSpecs(config)))
	}
	return float, blocks
}

// A model with blocks computes what the model with the floats that they stand for computes, bit for bit.
func TestQuantizedIsDequantized(t *testing.T) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		for _, kind := range []string{"q8", "q4"} {
			_, folder := quantizedFolder(t, backend, kind)
			m := must[*MoETransformer](t)(LoadMoETransformer(folder, backend, LoadOptions{}))
			plain := filepath.Join(t.TempDir(), "plain")
			saveDequantized(t, m, plain)
			same := must[*MoETransformer](t)(LoadMoETransformer(plain, backend, LoadOptions{}))
			ids := []int{1, 7, 300, 999, 4, 5, 6, 7}
			got, want := must[[]float32](t)(m.ForwardIDs(ids, 2, 4)), must[[]float32](t)(same.ForwardIDs(ids, 2, 4))
			if !slices.Equal(got, want) {
				t.Errorf("%s: logits differ from those of the dequantized model", kind)
			}
			prompts := [][]int{{1, 2, 3}, {9}}
			ctx := context.Background()
			made := must[[][]int](t)(Generate(ctx, m, prompts, 6, Greedy, GeneratorOptions{}))
			again := must[[][]int](t)(Generate(ctx, same, prompts, 6, Greedy, GeneratorOptions{}))
			if !slices.Equal(made[0], again[0]) || !slices.Equal(made[1], again[1]) {
				t.Errorf("%s: generated %v, the dequantized model %v", kind, made, again)
			}
			if err := tensor.First(m.Close(), same.Close()); err != nil {
				t.Error(err)
			}
		}
	})
}

func saveDequantized(t *testing.T, m *MoETransformer, folder string) {
	t.Helper()
	config := must[MoEConfig](t)(m.Config.WithQuantization("none"))
	kind, _ := tensor.DTypeOf(m.Config.Quantization)
	fetch := func(name string) ([]byte, error) {
		spec := m.Weights.specs[name]
		data, err := m.Weights.Fetch(name)
		if err != nil || !spec.Quantized {
			return data, err
		}
		blocks := must[tensor.Buffer](t)(m.Backend.Buffer(kind, spec.Size()))
		values := must[tensor.Buffer](t)(m.Backend.Buffer(tensor.F32, spec.Size()))
		storage := make([]byte, 4*spec.Size())
		return storage, tensor.First(
			m.Backend.Upload(blocks, 0, data), m.Backend.Dequantize(values, blocks, spec.Size()),
			m.Backend.Download(storage, values, 0), blocks.Close(), values.Close())
	}
	if err := SaveCheckpoint(folder, config, fetch, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Saved again, a quantized model is the same files; fresh weights of its config are the quantized fresh weights.
func TestQuantizedIsSavedAgain(t *testing.T) {
	backend := tensor.NewReference()
	_, folder := quantizedFolder(t, backend, "q8")
	loaded := must[*MoETransformer](t)(LoadMoETransformer(folder, backend, LoadOptions{}))
	config := must[MoEConfig](t)(TinyMoEConfig().WithQuantization("q8"))
	fresh := must[*MoETransformer](t)(NewMoETransformer(config, backend, Options{Seed: 3}))
	for _, m := range []*MoETransformer{loaded, fresh} {
		again := filepath.Join(t.TempDir(), "again")
		if err := m.Save(again, SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"config.json", "generation_config.json", "model.safetensors"} {
			a, b := must[[]byte](t)(os.ReadFile(filepath.Join(folder, name))), must[[]byte](t)(os.ReadFile(filepath.Join(again, name)))
			if !bytes.Equal(a, b) {
				t.Errorf("%s differs", name)
			}
		}
	}
	if data := must[[]byte](t)(os.ReadFile(filepath.Join(folder, "tokenizer.json"))); string(data) != "{}\n" {
		t.Errorf("tokenizer.json is %q", data)
	}
	// Of 8.5 bits an element; the rest as it was.
	floats := TinyMoEConfig().NParameters() - loaded.Weights.Layout.NQuantized
	if want := 4*floats + loaded.Weights.Layout.NQuantized/32*34; StoredBytes(loaded.Config) != want {
		t.Errorf("%d bytes, expected %d", StoredBytes(loaded.Config), want)
	}
}

// Every device writes the bytes that the reference writes, from f32 and from bf16.
func TestQuantizedBytes(t *testing.T) {
	config := must[MoEConfig](t)(TinyMoEConfig().WithDType("bf16"))
	source := filepath.Join(t.TempDir(), "bf16")
	m := must[*MoETransformer](t)(NewMoETransformer(config, tensor.NewReference(), Options{DType: tensor.BF16, Seed: 4}))
	if err := m.Save(source, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	write := func(backend tensor.Backend, kind string) []byte {
		checkpoint := must[*Checkpoint](t)(LoadCheckpoint(source))
		defer checkpoint.Close()
		folder := filepath.Join(t.TempDir(), kind)
		must[MoEConfig](t)(QuantizeCheckpoint(checkpoint, folder, kind, backend, nil))
		return must[[]byte](t)(os.ReadFile(filepath.Join(folder, "model.safetensors")))
	}
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		for _, kind := range []string{"q8", "q4"} {
			if !bytes.Equal(write(backend, kind), write(tensor.NewReference(), kind)) {
				t.Errorf("%s differs from that of the reference", kind)
			}
			_, ours := quantizedFolder(t, backend, kind)
			_, theirs := quantizedFolder(t, tensor.NewReference(), kind)
			a := must[[]byte](t)(os.ReadFile(filepath.Join(ours, "model.safetensors")))
			if !bytes.Equal(a, must[[]byte](t)(os.ReadFile(filepath.Join(theirs, "model.safetensors")))) {
				t.Errorf("%s of f32 differs from that of the reference", kind)
			}
		}
	})
}

// Weights that a block cannot scale are refused, and nothing is left behind; so is a run that was told to end.
func TestQuantizedLeavesNothing(t *testing.T) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		for _, fault := range []string{"endless", "ended"} {
			source, out := filepath.Join(t.TempDir(), "f32"), filepath.Join(t.TempDir(), "blocks")
			m := must[*MoETransformer](t)(NewMoETransformer(TinyMoEConfig(), backend, Options{}))
			written := func(int) error { return nil }
			sentence := "quantize: x[32] begins a block without a finite f16 scale, expected magnitudes of at most 8319008"
			if fault == "endless" {
				at := m.Weights.Layout.Offsets["lm_head.weight"]
				if err := backend.Upload(m.Weights.Values, at+33, tensor.Bytes([]float32{1e30})); err != nil {
					t.Fatal(err)
				}
			} else {
				sentence = context.Canceled.Error()
				written = func(int) error { return context.Canceled }
			}
			if err := tensor.First(m.Save(source, SaveOptions{}), m.Close()); err != nil {
				t.Fatal(err)
			}
			checkpoint := must[*Checkpoint](t)(LoadCheckpoint(source))
			_, err := QuantizeCheckpoint(checkpoint, out, "q8", backend, written)
			if err == nil || err.Error() != sentence {
				t.Errorf("%s: got %v, want %s", fault, err, sentence)
			}
			left := must[[]os.DirEntry](t)(os.ReadDir(filepath.Dir(out)))
			if len(left) != 0 {
				t.Errorf("%s: %v was left behind", fault, left)
			}
			if err := checkpoint.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestQuantizedRefusals(t *testing.T) {
	backend := tensor.NewReference()
	float, folder := quantizedFolder(t, backend, "q4")
	refused := func(err error, key, sentence string) {
		t.Helper()
		testcases.RequireError(t, err, key, sentence)
	}
	_, err := LoadMoETransformer(folder, backend, LoadOptions{Training: true})
	refused(err, "quantized_weights", folder+": the weights are quantized (q4), expected f32, bf16 or f16")
	config := must[MoEConfig](t)(TinyMoEConfig().WithQuantization("q4"))
	_, err = NewMoETransformer(config, backend, Options{Training: true})
	refused(err, "quantized_weights", "config: the weights are quantized (q4), expected f32, bf16 or f16")
	checkpoint := must[*Checkpoint](t)(LoadCheckpoint(folder))
	_, err = QuantizeCheckpoint(checkpoint, filepath.Join(t.TempDir(), "x"), "q8", backend, nil)
	refused(err, "quantized_weights", folder+": the weights are quantized (q4), expected f32, bf16 or f16")
	for _, c := range []struct {
		set      func(*MoEConfig)
		sentence string
	}{
		{func(c *MoEConfig) { c.Quantization = "q5" }, "here: quantization is q5, expected none, q8 or q4"},
		{func(c *MoEConfig) { c.HiddenSize = 48 }, "here: hidden_size is 48, expected a multiple of 32 in a quantized model"},
		{func(c *MoEConfig) { c.HeadDim = 12 }, "here: n_heads times head_dim is 48, expected a multiple of 32 in a quantized model"},
		{func(c *MoEConfig) { c.FFNSize = 40 }, "here: ffn_size is 40, expected a multiple of 32 in a quantized model"},
	} {
		changed := config
		c.set(&changed)
		refused(changed.Validate("here"), "config_bad_value", c.sentence)
	}
	data := string(must[[]byte](t)(os.ReadFile(filepath.Join(folder, "config.json"))))
	for text, want := range map[string][2]string{
		`"q9"`: {"config_unsupported", `c: quantization_config: type "q9" is not supported, expected "q8" or "q4"`},
		`4`:    {"field_wrong_type", `c: quantization_config: field "type" is 4, expected a string`},
	} {
		_, err := MoEConfigFromJSON([]byte(strings.Replace(data, `"type": "q4"`, `"type": `+text, 1)), "c")
		refused(err, want[0], want[1])
	}
	_, err = MoEConfigFromJSON([]byte(strings.Replace(data, `"quant_method": "cunn"`, `"quant_method": "gptq"`, 1)), "c")
	refused(err, "config_unsupported", "c: quantization_config an object is not supported, expected null")

	// The config of one folder with the weights of the other.
	for _, c := range []struct{ from, to, key, sentence string }{
		{folder, float, "checkpoint_wrong_shape",
			`/model.safetensors: tensor "model.layers.0.self_attn.q_proj.weight" has shape [64, 64], expected [64, 36]`},
		{float, folder, "checkpoint_wrong_shape",
			`/model.safetensors: tensor "model.layers.0.self_attn.q_proj.weight" has shape [64, 36], expected [64, 64]`},
	} {
		mixed := filepath.Join(t.TempDir(), "mixed")
		if err := os.CopyFS(mixed, os.DirFS(c.to)); err != nil {
			t.Fatal(err)
		}
		other := must[[]byte](t)(os.ReadFile(filepath.Join(c.from, "config.json")))
		if err := os.WriteFile(filepath.Join(mixed, "config.json"), other, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadCheckpoint(mixed)
		refused(err, c.key, mixed+c.sentence)
	}
	weights := filepath.Join(folder, "model.safetensors")
	content := must[[]byte](t)(os.ReadFile(weights))
	content = bytes.Replace(content, []byte(`"lm_head.weight":{"dtype":"U8"`), []byte(`"lm_head.weight":{"dtype":"I8"`), 1)
	if err := os.WriteFile(weights, content, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = LoadCheckpoint(folder)
	refused(err, "checkpoint_wrong_dtype", weights+`: tensor "lm_head.weight" has dtype I8, expected U8`)
	var written map[string]any
	if err := json.Unmarshal([]byte(data), &written); err != nil || written["quantization_config"].(map[string]any)["type"] != "q4" {
		t.Errorf("config.json is %s", data)
	}
}

// Neither the weights that are read nor a run to resume is replaced, whatever the path is called.
func TestQuantizeReplacesNothing(t *testing.T) {
	backend := tensor.NewReference()
	float, _ := quantizedFolder(t, backend, "q8")
	run, link := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "link")
	if err := tensor.First(os.CopyFS(run, os.DirFS(float)), os.Symlink(float, link),
		os.WriteFile(filepath.Join(run, "trainer_state.json"), []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	checkpoint := must[*Checkpoint](t)(LoadCheckpoint(float))
	defer checkpoint.Close()
	before := must[[]byte](t)(os.ReadFile(filepath.Join(float, "model.safetensors")))
	for _, out := range []string{float, link, run} {
		_, err := QuantizeCheckpoint(checkpoint, out, "q8", backend, nil)
		testcases.RequireError(t, err, "quantize_replaces",
			out+": holds the weights to quantize or a run to resume, expected another folder")
		for _, folder := range []string{float, run} {
			if after := must[[]byte](t)(os.ReadFile(filepath.Join(folder, "model.safetensors"))); !bytes.Equal(after, before) {
				t.Fatalf("%s is changed", folder)
			}
		}
	}
}
