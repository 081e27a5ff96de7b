package model

import (
	"slices"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
)

// How config.go reads and writes a MoEConfig in a Hugging Face config.json (MixtralForCausalLM).
//
// What is ours alone in that file: ntk_alpha and, where it is not 1, ntk_base_theta and ntk_base_positions keep the model
// as it was trained, while rope_theta, rope_parameters and max_position_embeddings say what follows from them. So every
// reader that knows only Hugging Face's fields computes the same angles: the NTK-scaled base is a plain RoPE base, and
// rope_type "default" is the one type that transformers applies as it stands (its "dynamic" type changes with the length
// of the input). aux_coef and z_coef are ours too; see HFAuxCoef. rope_theta and torch_dtype repeat what transformers
// before version 5 looks for. A quantized folder says so in quantization_config, with a quant_method of our own, so that
// transformers refuses it instead of misreading it.

// quantMethod of quantization_config: matrices as U8, each row the blocks of cunn_quantize.
const quantMethod = "cunn"

var quantizations = []string{"none", "q8", "q4"}

var hfDTypes = map[string]string{"f32": "float32", "bf16": "bfloat16", "f16": "float16"}

func idOrNull(id int) jsonstrict.Value {
	if id == -1 {
		return nil
	}
	return id
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
	quantization := values.Get("quantization_config")
	ours, ok := quantization.(*jsonstrict.Object)
	if quantization != nil && !(ok && ours.Get("quant_method") == quantMethod) {
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

// hfQuantization is quantization_config.type of a folder that nn quantized, else none.
func hfQuantization(fields *jsonstrict.Fields) string {
	if fields.Values.Get("quantization_config") == nil {
		return "none"
	}
	ours := fields.Object("quantization_config", fields.Where+": quantization_config")
	name := ours.String("type")
	if fields.Err() == nil && !slices.Contains(quantizations[1:], name) {
		unsupported(ours, "type", name, `"q8" or "q4"`)
	}
	return name
}
