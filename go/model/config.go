package model

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

const (
	maxSize       = 1<<31 - 1
	maxParameters = 1 << 48
)

// MoEConfig is sizes and constants of a Mixture-of-Experts Transformer. Validate says what must hold; hf_config.go has
// its form in a Hugging Face config.json.
type MoEConfig struct {
	VocabSize  int
	HiddenSize int
	NLayers    int
	NHeads     int
	NKVHeads   int
	HeadDim    int
	NExperts   int
	TopK       int
	FFNSize    int
	// MaxPositions is the context as trained, before NTKAlpha; Context is what the model serves.
	MaxPositions int
	// RopeTheta is the base as trained, before NTKAlpha; EffectiveRopeTheta is what the angles use.
	RopeTheta  float64
	NTKAlpha   float64
	RMSNormEps float64
	// BosID is -1 for none.
	BosID int
	// EosID is -1 for none.
	EosID   int
	AuxCoef float64
	ZCoef   float64
	// DType of the weights: f32, bf16 or f16.
	DType string
	// Quantization of the matrices that ParameterSpec.Quantized names: none, q8 or q4, blocks of 32 along a row.
	Quantization string
}

func sized(vocab, hidden, layers, heads, kvHeads, headDim, experts, topK, ffn, positions int) MoEConfig {
	return MoEConfig{
		VocabSize: vocab, HiddenSize: hidden, NLayers: layers, NHeads: heads, NKVHeads: kvHeads, HeadDim: headDim,
		NExperts: experts, TopK: topK, FFNSize: ffn, MaxPositions: positions,
		RopeTheta: 10000, NTKAlpha: 1, RMSNormEps: 1e-6, BosID: 1, EosID: 2, AuxCoef: 0.01, ZCoef: 0.001, DType: "f32",
		Quantization: "none",
	}
}

// Presets are the names of the design's presets.
var Presets = []string{"tiny", "small", "6.9b"}

// TinyMoEConfig is the preset "tiny".
func TinyMoEConfig() MoEConfig { return sized(1000, 64, 2, 4, 1, 16, 4, 2, 128, 512) }

// SmallMoEConfig is the preset "small".
func SmallMoEConfig() MoEConfig { return sized(4096, 256, 6, 8, 1, 32, 8, 2, 512, 2048) }

// Context is the positions the model serves: floor(max_positions ntk_alpha).
func (c MoEConfig) Context() int { return int(float64(c.MaxPositions) * c.NTKAlpha) }

// EffectiveRopeTheta is theta' = theta alpha^(d/(d-2)), d = head_dim (NTK-aware scaling).
func (c MoEConfig) EffectiveRopeTheta() float64 { return NTKTheta(c.RopeTheta, c.NTKAlpha, c.HeadDim) }

// HFAuxCoef is router_aux_loss_coef: our coefficient in Hugging Face's measure.
//
// Ours: aux_coef * mean over layers of E/k sum_i f_i P_i, which is aux_coef at perfect balance. Theirs lacks the 1/k and
// pools f and P over the layers before multiplying, so that coefficient is aux_coef / k; equal for one layer, and for
// more up to the pooling.
func (c MoEConfig) HFAuxCoef() float64 { return c.AuxCoef / float64(c.TopK) }

// NParameters is all weights: V H embedding, V H head, H final norm, and per layer attention, router, experts, two norms.
// Beyond 2^62 it says 2^62.
func (c MoEConfig) NParameters() int {
	return sum(c.fixedParameters(), product(c.NLayers, c.NExperts, c.expertParameters()))
}

// NActiveParameters is the weights that one token meets: one row of the embedding, top_k experts of each layer, the rest
// whole.
func (c MoEConfig) NActiveParameters() int {
	skipped := product(c.VocabSize-1, c.HiddenSize)
	return c.fixedParameters() - skipped + product(c.NLayers, c.TopK, c.expertParameters())
}

func (c MoEConfig) expertParameters() int { return product(3, c.HiddenSize, c.FFNSize) }

func (c MoEConfig) fixedParameters() int {
	attention := product(2, c.HiddenSize, c.HeadDim, c.NHeads+c.NKVHeads)
	layer := sum(attention, product(c.NExperts, c.HiddenSize), 2*c.HiddenSize)
	return sum(product(2, c.VocabSize, c.HiddenSize), product(c.NLayers, layer), c.HiddenSize)
}

const saturated = 1 << 62

// product and sum of numbers of at least 0 stop at 2^62.
func product(factors ...int) int {
	result := 1
	for _, factor := range factors {
		if factor != 0 && result > saturated/factor {
			return saturated
		}
		result *= factor
	}
	return result
}

func sum(terms ...int) int {
	result := 0
	for _, term := range terms {
		result = min(result+term, saturated)
	}
	return result
}

// Validate says whether it describes a model. where (a path) opens the sentence of an error.
//
// Errors: config_bad_value, config_experts_per_token, config_heads_not_divisible, config_odd_head_dim, config_too_large.
func (c MoEConfig) Validate(where string) error {
	for _, size := range []struct {
		field string
		value int
	}{
		{"vocab_size", c.VocabSize}, {"hidden_size", c.HiddenSize}, {"n_layers", c.NLayers}, {"n_heads", c.NHeads},
		{"n_kv_heads", c.NKVHeads}, {"head_dim", c.HeadDim}, {"n_experts", c.NExperts}, {"top_k", c.TopK},
		{"ffn_size", c.FFNSize}, {"max_positions", c.MaxPositions},
	} {
		if size.value < 1 || maxSize < size.value {
			return badValue(where, size.field, strconv.Itoa(size.value), "1 to "+strconv.Itoa(maxSize))
		}
	}
	for _, size := range []struct {
		field       string
		value, most int
	}{{"n_experts", c.NExperts, 1024}, {"head_dim", c.HeadDim, 65536}} {
		if size.value > size.most {
			return badValue(where, size.field, strconv.Itoa(size.value), "at most "+strconv.Itoa(size.most))
		}
	}
	if c.TopK > c.NExperts {
		return messages.ConfigExpertsPerToken(where, c.TopK, c.NExperts)
	}
	if c.NHeads%c.NKVHeads != 0 {
		return messages.ConfigHeadsNotDivisible(where, c.NHeads, c.NKVHeads)
	}
	if c.HeadDim%2 != 0 {
		return messages.ConfigOddHeadDim(where, c.HeadDim)
	}
	for _, number := range []field{{"rope_theta", c.RopeTheta}, {"rms_norm_eps", c.RMSNormEps}} {
		if !(0 < number.value && number.value < math.Inf(1)) {
			return badValue(where, number.name, jsonstrict.FormatNumber(number.value), "more than 0")
		}
	}
	if !(1 <= c.NTKAlpha && c.NTKAlpha <= 65536) {
		return badValue(where, "ntk_alpha", jsonstrict.FormatNumber(c.NTKAlpha), "1 to 65536")
	}
	if c.NTKAlpha > 1 && c.HeadDim < 4 {
		return badValue(where, "head_dim", strconv.Itoa(c.HeadDim), "at least 4 with ntk_alpha above 1")
	}
	if c.Context() > maxSize {
		return badValue(where, "max_positions times ntk_alpha", strconv.Itoa(c.Context()), "at most "+strconv.Itoa(maxSize))
	}
	for _, id := range []struct {
		field string
		value int
	}{{"bos_id", c.BosID}, {"eos_id", c.EosID}} {
		if id.value < -1 || c.VocabSize <= id.value {
			expected := "an id below the vocabulary size " + strconv.Itoa(c.VocabSize) + ", or -1 for none"
			return badValue(where, id.field, strconv.Itoa(id.value), expected)
		}
	}
	for _, number := range []field{{"aux_coef", c.AuxCoef}, {"z_coef", c.ZCoef}} {
		if !(0 <= number.value && number.value < math.Inf(1)) {
			return badValue(where, number.name, jsonstrict.FormatNumber(number.value), "at least 0")
		}
	}
	if _, known := hfDTypes[c.DType]; !known {
		return badValue(where, "dtype", c.DType, "f32, bf16 or f16")
	}
	if !slices.Contains(quantizations, c.Quantization) {
		return badValue(where, "quantization", c.Quantization, "none, q8 or q4")
	}
	for _, row := range []struct {
		field string
		size  int
	}{{"hidden_size", c.HiddenSize}, {"n_heads times head_dim", c.NHeads * c.HeadDim}, {"ffn_size", c.FFNSize}} {
		if c.isQuantized() && row.size%tensor.QuantBlock != 0 {
			expected := "a multiple of " + strconv.Itoa(tensor.QuantBlock) + " in a quantized model"
			return badValue(where, row.field, strconv.Itoa(row.size), expected)
		}
	}
	if c.NParameters() > maxParameters {
		return messages.ConfigTooLarge(where)
	}
	if !(c.EffectiveRopeTheta() < math.Inf(1)) {
		return badValue(where, "rope_theta scaled by ntk_alpha", "inf", "a finite number")
	}
	return nil
}

type field struct {
	name  string
	value float64
}

func badValue(where, field, value, expected string) error {
	return messages.ConfigBadValue(where, field, value, expected)
}

// WithNTKAlpha is the same weights read over alpha times the context. Errors: those of Validate.
func (c MoEConfig) WithNTKAlpha(alpha float64) (MoEConfig, error) {
	c.NTKAlpha = alpha
	return c, c.Validate("config")
}

// WithDType stores the weights otherwise. Errors: those of Validate.
func (c MoEConfig) WithDType(dtype string) (MoEConfig, error) {
	c.DType = dtype
	return c, c.Validate("config")
}

// WithQuantization stores matrices as blocks ("q8" or "q4"), or as they are ("none"). Errors: those of Validate.
func (c MoEConfig) WithQuantization(quantization string) (MoEConfig, error) {
	c.Quantization = quantization
	return c, c.Validate("config")
}

// isQuantized says whether any weight is.
func (c MoEConfig) isQuantized() bool { return c.Quantization != "none" }

// RequireFloat: no weight is quantized: only then can a model be trained. Errors: quantized_weights.
func (c MoEConfig) RequireFloat(where string) error {
	if c.isQuantized() {
		return messages.QuantizedWeights(where, c.Quantization)
	}
	return nil
}

// ToHF is the content of config.json, in the order it is written.
func (c MoEConfig) ToHF() *jsonstrict.Object {
	theta := c.EffectiveRopeTheta()
	hf := jsonstrict.NewObject(
		"architectures", []jsonstrict.Value{"MixtralForCausalLM"},
		"attention_dropout", 0.0,
		"aux_coef", c.AuxCoef,
		"bos_token_id", idOrNull(c.BosID),
		"dtype", hfDTypes[c.DType],
		"eos_token_id", idOrNull(c.EosID),
		"head_dim", c.HeadDim,
		"hidden_act", "silu",
		"hidden_size", c.HiddenSize,
		"initializer_range", 0.02,
		"intermediate_size", c.FFNSize,
		"max_position_embeddings", c.Context(),
		"model_type", "mixtral",
		"ntk_alpha", c.NTKAlpha,
	)
	if c.NTKAlpha != 1 {
		hf.Set("ntk_base_positions", c.MaxPositions)
		hf.Set("ntk_base_theta", c.RopeTheta)
	}
	set := func(pairs [][2]jsonstrict.Value) {
		for _, pair := range pairs {
			hf.Set(pair[0].(string), pair[1])
		}
	}
	set([][2]jsonstrict.Value{
		{"num_attention_heads", c.NHeads},
		{"num_experts_per_tok", c.TopK},
		{"num_hidden_layers", c.NLayers},
		{"num_key_value_heads", c.NKVHeads},
		{"num_local_experts", c.NExperts},
		{"output_router_logits", false},
		{"pad_token_id", nil},
	})
	if c.isQuantized() {
		hf.Set("quantization_config", jsonstrict.NewObject("quant_method", quantMethod, "type", c.Quantization))
	}
	set([][2]jsonstrict.Value{
		{"rms_norm_eps", c.RMSNormEps},
		{"rope_parameters", jsonstrict.NewObject("rope_theta", theta, "rope_type", "default")},
		{"rope_theta", theta},
		{"router_aux_loss_coef", c.HFAuxCoef()},
		{"router_jitter_noise", 0.0},
		{"sliding_window", nil},
		{"tie_word_embeddings", false},
		{"torch_dtype", hfDTypes[c.DType]},
		{"use_cache", true},
		{"vocab_size", c.VocabSize},
		{"z_coef", c.ZCoef},
	})
	return hf
}

// ToJSON is the text of config.json.
func (c MoEConfig) ToJSON() string { return jsonstrict.Dumps(c.ToHF()) }

// GenerationJSON is the content of generation_config.json.
func (c MoEConfig) GenerationJSON() string {
	return jsonstrict.Dumps(jsonstrict.NewObject(
		"_from_model_config", true,
		"bos_token_id", idOrNull(c.BosID),
		"eos_token_id", idOrNull(c.EosID),
		"use_cache", true,
	))
}

// MoEConfigFromJSON reads the bytes of a config.json. Errors: those of strict JSON and of MoEConfigFromHF.
func MoEConfigFromJSON(data []byte, where string) (MoEConfig, error) {
	hf, err := jsonstrict.LoadsObject(data, where)
	if err != nil {
		return MoEConfig{}, err
	}
	return MoEConfigFromHF(hf, where)
}

// MoEConfigFromHF reads the content of a config.json, ours or that of any transformers since 4.36.
//
// A size must be there; of the rest a field that is missing or null means what it means to transformers. Fields that
// change nothing here (dropout, cache, initializer) are not looked at.
//
// Errors: field_missing, field_wrong_type, config_unsupported, config_hidden_not_divisible, config_ntk_mismatch and those
// of Validate.
func MoEConfigFromHF(hf *jsonstrict.Object, where string) (MoEConfig, error) {
	fields := jsonstrict.NewFields(hf, where)
	requireMixtral(fields)
	hidden := fields.Integer("hidden_size")
	heads := fields.Integer("num_attention_heads")
	headDim := fields.IntegerOr("head_dim", 0)
	if headDim == 0 && fields.Err() == nil {
		for _, size := range []struct {
			field string
			value int
		}{{"hidden_size", hidden}, {"num_attention_heads", heads}} {
			if size.value < 1 {
				return MoEConfig{}, badValue(where, size.field, strconv.Itoa(size.value), "1 to "+strconv.Itoa(maxSize))
			}
		}
		if hidden%heads != 0 {
			return MoEConfig{}, messages.ConfigHiddenNotDivisible(where, hidden, heads)
		}
		headDim = hidden / heads
	}
	topK := fields.Integer("num_experts_per_tok")
	positions := fields.Integer("max_position_embeddings")
	theta := hfRopeTheta(fields)
	c := MoEConfig{
		VocabSize:    fields.Integer("vocab_size"),
		HiddenSize:   hidden,
		NLayers:      fields.Integer("num_hidden_layers"),
		NHeads:       heads,
		NKVHeads:     fields.IntegerOr("num_key_value_heads", heads),
		HeadDim:      headDim,
		NExperts:     fields.Integer("num_local_experts"),
		TopK:         topK,
		FFNSize:      fields.Integer("intermediate_size"),
		MaxPositions: fields.IntegerOr("ntk_base_positions", positions),
		RopeTheta:    fields.NumberOr("ntk_base_theta", theta),
		NTKAlpha:     fields.NumberOr("ntk_alpha", 1),
		RMSNormEps:   fields.NumberOr("rms_norm_eps", 1e-5),
		BosID:        tokenID(fields, "bos_token_id", 1),
		EosID:        tokenID(fields, "eos_token_id", 2),
	}
	pooled := fields.NumberOr("router_aux_loss_coef", 0.001) * float64(topK)
	c.AuxCoef = fields.NumberOr("aux_coef", pooled)
	c.ZCoef = fields.NumberOr("z_coef", 0.001)
	c.DType = hfDType(fields)
	c.Quantization = hfQuantization(fields)
	if err := fields.Err(); err != nil {
		return MoEConfig{}, err
	}
	if err := c.Validate(where); err != nil {
		return MoEConfig{}, err
	}
	if expected := c.EffectiveRopeTheta(); math.Abs(theta-expected) > 1e-9*expected {
		return MoEConfig{}, messages.ConfigNtkMismatch(where, "rope_theta",
			jsonstrict.FormatNumber(theta), jsonstrict.FormatNumber(expected))
	}
	if positions != c.Context() {
		return MoEConfig{}, messages.ConfigNtkMismatch(where, "max_position_embeddings",
			strconv.Itoa(positions), strconv.Itoa(c.Context()))
	}
	return c, nil
}

// Preset returns one of the presets of the design. Errors: unknown_preset.
func Preset(name string) (MoEConfig, error) {
	switch name {
	case "tiny":
		return TinyMoEConfig(), nil
	case "small":
		return SmallMoEConfig(), nil
	case "6.9b":
		return sized(32000, 768, 30, 12, 1, 64, 16, 4, 6144, 32768), nil
	}
	return MoEConfig{}, messages.UnknownPreset(name, strings.Join(Presets, ", "))
}

// NTKTheta is theta alpha^(d/(d-2)) in f64 with + - * / only, so that every language writes the same digits.
//
// d/(d-2) = 1 + 1/m with m = (d-2)/2, so alpha^(d/(d-2)) = alpha * (the m-th root of alpha). The root is found by
// bisection of [1, alpha] down to neighbouring floats; a power is m products from 1 on, and may overflow to infinity.
func NTKTheta(theta, alpha float64, headDim int) float64 {
	if alpha == 1 {
		return theta
	}
	m := (headDim - 2) / 2
	low, high := 1.0, alpha
	for {
		middle := 0.5 * (low + high)
		if !(low < middle && middle < high) {
			return theta * (alpha * low)
		}
		power := 1.0
		for range m {
			power *= middle
			if math.IsInf(power, 1) {
				break
			}
		}
		if power <= alpha {
			low = middle
		} else {
			high = middle
		}
	}
}
