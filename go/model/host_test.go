package model

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
)

func TestSafetensorsRefused(t *testing.T) {
	var cases struct {
		Refused []struct {
			Hex           *string
			Header        *string
			Zeros         int
			Key, Sentence string
		}
	}
	testcases.Host(t, "safetensors.json", &cases)
	for _, c := range cases.Refused {
		var data []byte
		if c.Hex != nil {
			data, _ = hex.DecodeString(*c.Hex)
		} else {
			size := len(*c.Header)
			data = append(data, byte(size), byte(size>>8), byte(size>>16), 0, 0, 0, 0, 0)
			data = append(data, *c.Header...)
			data = append(data, make([]byte, c.Zeros)...)
		}
		_, err := ReadSafetensors(data, "f")
		testcases.RequireError(t, err, c.Key, c.Sentence)
	}
	if len(cases.Refused) < 40 {
		t.Errorf("only %d cases", len(cases.Refused))
	}
}

func TestConfigRefusedFiles(t *testing.T) {
	var cases struct {
		RefusedFiles []struct {
			Set           map[string]json.RawMessage
			Delete        []string
			Key, Sentence string
		} `json:"refused_files"`
		RefusedValues []struct {
			Set           map[string]json.RawMessage
			Key, Sentence string
		} `json:"refused_values"`
		Written []struct {
			Preset   string
			NTKAlpha float64 `json:"ntk_alpha"`
			DType    string
			Text     string
		}
	}
	testcases.Host(t, "config.json", &cases)
	golden, err := os.ReadFile(filepath.Join(testcases.Golden("tiny"), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases.RefusedFiles {
		hf, err := jsonstrict.LoadsObject(golden, "c")
		if err != nil {
			t.Fatal(err)
		}
		changed := jsonstrict.NewObject()
		for _, key := range hf.Keys() {
			if !slices.Contains(c.Delete, key) {
				changed.Set(key, hf.Get(key))
			}
		}
		for key, raw := range c.Set {
			value, err := jsonstrict.Loads(raw, "set")
			if err != nil {
				t.Fatal(err)
			}
			changed.Set(key, value)
		}
		_, err = MoEConfigFromJSON([]byte(jsonstrict.Dumps(changed)), "c")
		testcases.RequireError(t, err, c.Key, c.Sentence)
	}
	for _, c := range cases.RefusedValues {
		config := TinyMoEConfig()
		for field, raw := range c.Set {
			target := map[string]any{
				"vocab_size": &config.VocabSize, "hidden_size": &config.HiddenSize, "n_layers": &config.NLayers,
				"n_heads": &config.NHeads, "n_kv_heads": &config.NKVHeads, "head_dim": &config.HeadDim,
				"n_experts": &config.NExperts, "top_k": &config.TopK, "ffn_size": &config.FFNSize,
				"max_positions": &config.MaxPositions, "rope_theta": &config.RopeTheta, "ntk_alpha": &config.NTKAlpha,
				"rms_norm_eps": &config.RMSNormEps, "bos_id": &config.BosID, "eos_id": &config.EosID,
				"aux_coef": &config.AuxCoef, "z_coef": &config.ZCoef, "dtype": &config.DType, "quantization": &config.Quantization,
			}[field]
			if err := json.Unmarshal(raw, target); err != nil {
				t.Fatalf("%s: %v", field, err)
			}
		}
		testcases.RequireError(t, config.Validate("here"), c.Key, c.Sentence)
	}
	for _, c := range cases.Written {
		config, err := Preset(c.Preset)
		if err != nil {
			t.Fatal(err)
		}
		config.NTKAlpha, config.DType = c.NTKAlpha, c.DType
		if got := config.ToJSON(); got != c.Text {
			t.Errorf("%s: got\n%s\nwant\n%s", c.Preset, got, c.Text)
		}
		again, err := MoEConfigFromJSON([]byte(c.Text), "c")
		if err != nil || again != config {
			t.Errorf("%s: read back as %v, %v", c.Preset, again, err)
		}
	}
}

func TestEntropy(t *testing.T) {
	var cases struct {
		Entropy []struct {
			Probs   []string
			Entropy string
		}
	}
	testcases.Host(t, "numbers.json", &cases)
	for _, c := range cases.Entropy {
		var probs []float32
		for _, p := range c.Probs {
			probs = append(probs, float32(testcases.F64(t, p)))
		}
		want := testcases.F64(t, c.Entropy)
		if got := Entropy(probs); math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%v: got %x, want %x", probs, got, want)
		}
	}
	if len(cases.Entropy) < 5 || !math.IsNaN(Entropy([]float32{float32(math.NaN()), 1})) {
		t.Errorf("%d cases", len(cases.Entropy))
	}
}

// What a file cannot say: numbers that are not finite.
func TestConfigRefusesWhatIsNotFinite(t *testing.T) {
	for _, c := range []struct {
		set      func(*MoEConfig)
		sentence string
	}{
		{func(c *MoEConfig) { c.RopeTheta = math.Inf(1) }, "here: rope_theta is inf, expected more than 0"},
		{func(c *MoEConfig) { c.RMSNormEps = math.NaN() }, "here: rms_norm_eps is nan, expected more than 0"},
		{func(c *MoEConfig) { c.NTKAlpha = math.Inf(1) }, "here: ntk_alpha is inf, expected 1 to 65536"},
		{func(c *MoEConfig) { c.AuxCoef = math.Inf(1) }, "here: aux_coef is inf, expected at least 0"},
		{func(c *MoEConfig) { c.ZCoef = math.NaN() }, "here: z_coef is nan, expected at least 0"},
		{func(c *MoEConfig) { c.HeadDim = 65538 }, "here: head_dim is 65538, expected at most 65536"},
		{func(c *MoEConfig) { c.RopeTheta, c.NTKAlpha = 1e308, 8 },
			"here: rope_theta scaled by ntk_alpha is inf, expected a finite number"},
	} {
		config := TinyMoEConfig()
		c.set(&config)
		testcases.RequireError(t, config.Validate("here"), "config_bad_value", c.sentence)
	}
}

func TestNTKTheta(t *testing.T) {
	var cases struct {
		NTKTheta []struct {
			Theta, Alpha, Result string
			HeadDim              int `json:"head_dim"`
		} `json:"ntk_theta"`
	}
	testcases.Host(t, "numbers.json", &cases)
	for _, c := range cases.NTKTheta {
		if got := NTKTheta(testcases.F64(t, c.Theta), testcases.F64(t, c.Alpha), c.HeadDim); got != testcases.F64(t, c.Result) {
			t.Errorf("theta %s alpha %s d %d: got %v", c.Theta, c.Alpha, c.HeadDim, got)
		}
	}
}
