package model

import (
	"math"
	"strconv"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
)

// The form of a MoEConfig in a Hugging Face config.json (MixtralForCausalLM).
//
// What is ours alone in that file: ntk_alpha and, where it is not 1, ntk_base_theta and ntk_base_positions keep the model
// as it was trained, while rope_theta, rope_parameters and max_position_embeddings say what follows from them. So every
// reader that knows only Hugging Face's fields computes the same angles: the NTK-scaled base is a plain RoPE base, and
// rope_type "default" is the one type that transformers applies as it stands (its "dynamic" type changes with the length
// of the input). aux_coef and z_coef are ours too; see HFAuxCoef. rope_theta and torch_dtype repeat what transformers
// before version 5 looks for.

var hfDTypes = map[string]string{"f32": "float32", "bf16": "bfloat16", "f16": "float16"}

func idOrNull(id int) jsonstrict.Value {
	if id == -1 {
		return nil
	}
	return id
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
	for _, pair := range [][2]jsonstrict.Value{
		{"num_attention_heads", c.NHeads},
		{"num_experts_per_tok", c.TopK},
		{"num_hidden_layers", c.NLayers},
		{"num_key_value_heads", c.NKVHeads},
		{"num_local_experts", c.NExperts},
		{"output_router_logits", false},
		{"pad_token_id", nil},
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
	} {
		hf.Set(pair[0].(string), pair[1])
	}
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
	if err := fields.Err(); err != nil {
		return MoEConfig{}, err
	}
	if err := c.Validate(where); err != nil {
		return MoEConfig{}, err
	}
	if expected := c.EffectiveRopeTheta(); math.Abs(theta-expected) > 1e-9*expected {
		return MoEConfig{}, messages.ConfigNtkMismatch(where, "rope_theta",
			jsonstrict.FormatFloat(theta), jsonstrict.FormatFloat(expected))
	}
	if positions != c.Context() {
		return MoEConfig{}, messages.ConfigNtkMismatch(where, "max_position_embeddings",
			strconv.Itoa(positions), strconv.Itoa(c.Context()))
	}
	return c, nil
}

func unsupported(fields *jsonstrict.Fields, field string, value jsonstrict.Value, expected string) {
	fields.Fail(messages.ConfigUnsupported(fields.Where, field, jsonstrict.Describe(value), expected))
}

// requireMixtral refuses what would load and then compute something else.
func requireMixtral(fields *jsonstrict.Fields) {
	values := fields.Values
	if fields.StringOr("model_type", "") != "mixtral" {
		unsupported(fields, "model_type", values.Get("model_type"), `"mixtral"`)
	}
	if architectures := values.Get("architectures"); architectures != nil {
		list, _ := architectures.([]jsonstrict.Value)
		if len(list) != 1 || list[0] != "MixtralForCausalLM" {
			unsupported(fields, "architectures", architectures, `["MixtralForCausalLM"]`)
		}
	}
	for _, must := range []struct {
		field    string
		expected jsonstrict.Value
	}{{"hidden_act", "silu"}, {"sliding_window", nil}, {"tie_word_embeddings", false}} {
		if !values.Has(must.field) {
			continue
		}
		value := values.Get(must.field)
		switch value.(type) {
		case nil, bool, string:
			if value == must.expected {
				continue
			}
		}
		unsupported(fields, must.field, value, jsonstrict.Describe(must.expected))
	}
	if quantization := values.Get("quantization_config"); quantization != nil {
		unsupported(fields, "quantization_config", quantization, "null")
	}
}

// tokenID: missing means the default; null: none (-1); a list of one id is that id.
func tokenID(fields *jsonstrict.Fields, field string, otherwise int) int {
	if !fields.Values.Has(field) {
		return otherwise
	}
	value := fields.Values.Get(field)
	if value == nil {
		return -1
	}
	if list, ok := value.([]jsonstrict.Value); ok && len(list) == 1 {
		value = list[0]
	}
	id, ok := value.(int)
	if !ok {
		fields.Fail(fields.Wrong(field, "one token id or null"))
	}
	return id
}

// hfRopeTheta is the base that transformers uses: rope_parameters.rope_theta, before version 5 rope_theta, else 1e6.
func hfRopeTheta(fields *jsonstrict.Fields) float64 {
	theta := fields.NumberOr("rope_theta", 1000000)
	for _, name := range []string{"rope_scaling", "rope_parameters"} {
		rope := fields.ObjectOrEmpty(name, fields.Where+": "+name)
		kind := rope.StringOr("rope_type", rope.StringOr("type", "default"))
		if kind != "default" {
			unsupported(rope, "rope_type", kind, `"default"`)
		}
		if rope.NumberOr("partial_rotary_factor", 1) != 1 {
			unsupported(rope, "partial_rotary_factor", rope.Values.Get("partial_rotary_factor"), "1.0")
		}
		theta = rope.NumberOr("rope_theta", theta)
	}
	return theta
}

// hfDType is dtype, before version 5 torch_dtype, else float32.
func hfDType(fields *jsonstrict.Fields) string {
	name := fields.StringOr("dtype", fields.StringOr("torch_dtype", "float32"))
	for dtype, hfName := range hfDTypes {
		if name == hfName {
			return dtype
		}
	}
	unsupported(fields, "dtype", name, `"float32", "bfloat16" or "float16"`)
	return ""
}
