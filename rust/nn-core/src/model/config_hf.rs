//! A Hugging Face `config.json` (MixtralForCausalLM), written and read.

use super::config::{
    HF_DTYPES, MoEConfig, QUANT_METHOD, QUANTIZATIONS, bad_size, check_sizes, id_or_null,
};
use crate::error::{NNError, Result};
use crate::json_fields::Fields;
use crate::json_strict::{Json, Object, describe};
use crate::messages;
use crate::text::repr;

/// The content of config.json, in the order it is written.
pub(super) fn write(config: &MoEConfig) -> Object {
    let theta = config.effective_rope_theta();
    let hf_dtype = HF_DTYPES
        .iter()
        .find(|(dtype, _)| *dtype == config.dtype)
        .map_or("", |(_, name)| name);
    let mut hf = Object::new();
    hf.insert("architectures", vec![Json::from("MixtralForCausalLM")]);
    hf.insert("attention_dropout", 0.0);
    hf.insert("aux_coef", config.aux_coef);
    hf.insert("bos_token_id", id_or_null(config.bos_id));
    hf.insert("dtype", hf_dtype);
    hf.insert("eos_token_id", id_or_null(config.eos_id));
    hf.insert("head_dim", config.head_dim);
    hf.insert("hidden_act", "silu");
    hf.insert("hidden_size", config.hidden_size);
    hf.insert("initializer_range", 0.02);
    hf.insert("intermediate_size", config.ffn_size);
    hf.insert("max_position_embeddings", config.context());
    hf.insert("model_type", "mixtral");
    hf.insert("ntk_alpha", config.ntk_alpha);
    if config.ntk_alpha != 1.0 {
        hf.insert("ntk_base_positions", config.max_positions);
        hf.insert("ntk_base_theta", config.rope_theta);
    }
    hf.insert("num_attention_heads", config.n_heads);
    hf.insert("num_experts_per_tok", config.top_k);
    hf.insert("num_hidden_layers", config.n_layers);
    hf.insert("num_key_value_heads", config.n_kv_heads);
    hf.insert("num_local_experts", config.n_experts);
    hf.insert("output_router_logits", false);
    hf.insert("pad_token_id", Json::Null);
    if config.quantization != "none" {
        let mut quantization = Object::new();
        quantization.insert("quant_method", QUANT_METHOD);
        quantization.insert("type", config.quantization.as_str());
        hf.insert("quantization_config", quantization);
    }
    hf.insert("rms_norm_eps", config.rms_norm_eps);
    let mut rope = Object::new();
    rope.insert("rope_theta", theta);
    rope.insert("rope_type", "default");
    hf.insert("rope_parameters", rope);
    hf.insert("rope_theta", theta);
    hf.insert("router_aux_loss_coef", config.hf_aux_coef());
    hf.insert("router_jitter_noise", 0.0);
    hf.insert("sliding_window", Json::Null);
    hf.insert("tie_word_embeddings", false);
    hf.insert("torch_dtype", hf_dtype);
    hf.insert("use_cache", true);
    hf.insert("vocab_size", config.vocab_size);
    hf.insert("z_coef", config.z_coef);
    hf
}

/// See [`MoEConfig::from_hf`].
pub(super) fn read(hf: &Object, place: &str) -> Result<MoEConfig> {
    let fields = Fields::new(hf, place);
    require_mixtral(&fields)?;
    let hidden_size = fields.integer("hidden_size")?;
    let n_heads = fields.integer("num_attention_heads")?;
    let mut head_dim = fields.integer_or("head_dim", 0)?;
    if head_dim == 0 {
        for (field, size) in [
            ("hidden_size", hidden_size),
            ("num_attention_heads", n_heads),
        ] {
            if size < 1 {
                return Err(bad_size(place, field, size));
            }
        }
        if hidden_size % n_heads != 0 {
            return Err(messages::config_hidden_not_divisible(
                place,
                hidden_size,
                n_heads,
            ));
        }
        head_dim = hidden_size / n_heads;
    }
    let top_k = fields.integer("num_experts_per_tok")?;
    let positions = fields.integer("max_position_embeddings")?;
    let theta = hf_rope_theta(&fields)?;
    let sizes = [
        fields.integer("vocab_size")?,
        hidden_size,
        fields.integer("num_hidden_layers")?,
        n_heads,
        fields.integer_or("num_key_value_heads", n_heads)?,
        head_dim,
        fields.integer("num_local_experts")?,
        top_k,
        fields.integer("intermediate_size")?,
        fields.integer_or("ntk_base_positions", positions)?,
    ];
    let rope_theta = fields.number_or("ntk_base_theta", theta)?;
    let ntk_alpha = fields.number_or("ntk_alpha", 1.0)?;
    let rms_norm_eps = fields.number_or("rms_norm_eps", 1e-5)?;
    let bos_id = token_id(&fields, "bos_token_id", 1)?;
    let eos_id = token_id(&fields, "eos_token_id", 2)?;
    let hf_aux = fields.number_or("router_aux_loss_coef", 0.001)? * top_k as f64;
    let aux_coef = fields.number_or("aux_coef", hf_aux)?;
    let z_coef = fields.number_or("z_coef", 0.001)?;
    let dtype = hf_dtype(&fields)?;
    let quantization = hf_quantization(&fields)?;
    check_sizes(place, sizes)?;
    let [
        vocab_size,
        hidden_size,
        n_layers,
        n_heads,
        n_kv_heads,
        head_dim,
        n_experts,
        top_k,
        ffn_size,
        max,
    ] = sizes.map(|size| size as usize);
    let config = MoEConfig {
        vocab_size,
        hidden_size,
        n_layers,
        n_heads,
        n_kv_heads,
        head_dim,
        n_experts,
        top_k,
        ffn_size,
        max_positions: max,
        rope_theta,
        ntk_alpha,
        rms_norm_eps,
        bos_id,
        eos_id,
        aux_coef,
        z_coef,
        dtype,
        quantization,
    }
    .validate(place)?;
    let expected = config.effective_rope_theta();
    if (theta - expected).abs() > 1e-9 * expected {
        let (found, expected) = (repr(theta), repr(expected));
        return Err(messages::config_ntk_mismatch(
            place,
            "rope_theta",
            &found,
            &expected,
        ));
    }
    if positions != config.context() as i64 {
        let (found, expected) = (positions.to_string(), config.context().to_string());
        return Err(messages::config_ntk_mismatch(
            place,
            "max_position_embeddings",
            &found,
            &expected,
        ));
    }
    Ok(config)
}

fn unsupported(fields: &Fields, field: &str, value: &Json, expected: &str) -> NNError {
    messages::config_unsupported(&fields.place, field, &describe(value), expected)
}

/// Refuses what would load and then compute something else.
fn require_mixtral(fields: &Fields) -> Result<()> {
    if fields.string_or("model_type", "")? != "mixtral" {
        let found = fields.get("model_type").unwrap_or(&Json::Null);
        return Err(unsupported(fields, "model_type", found, "\"mixtral\""));
    }
    if let Some(found) = fields.get("architectures")
        && *found != Json::Array(vec![Json::from("MixtralForCausalLM")])
    {
        return Err(unsupported(
            fields,
            "architectures",
            found,
            "[\"MixtralForCausalLM\"]",
        ));
    }
    for (field, expected) in [
        ("hidden_act", Json::from("silu")),
        ("sliding_window", Json::Null),
        ("tie_word_embeddings", Json::Bool(false)),
    ] {
        let value = fields.values.get(field).unwrap_or(&expected);
        if *value != expected {
            return Err(unsupported(fields, field, value, &describe(&expected)));
        }
    }
    match quantization_of(fields) {
        Some(Err(found)) => Err(unsupported(fields, "quantization_config", found, "null")),
        _ => Ok(()),
    }
}

/// `quantization_config`, if there is one: ours, or the value that is not.
fn quantization_of<'a>(fields: &Fields<'a>) -> Option<std::result::Result<&'a Object, &'a Json>> {
    let found = fields.get("quantization_config")?;
    let Json::Object(object) = found else {
        return Some(Err(found));
    };
    let ours = object.get("quant_method") == Some(&Json::from(QUANT_METHOD));
    Some(if ours { Ok(object) } else { Err(found) })
}

/// None where there is no `quantization_config`.
fn hf_quantization(fields: &Fields) -> Result<String> {
    let Some(Ok(object)) = quantization_of(fields) else {
        return Ok("none".to_string());
    };
    let ours = Fields::new(object, format!("{}: quantization_config", fields.place));
    let kind = ours.string("type")?;
    if kind == "none" || !QUANTIZATIONS.contains(&kind) {
        let expected = "\"q8\" or \"q4\"";
        return Err(unsupported(&ours, "type", &Json::from(kind), expected));
    }
    Ok(kind.to_string())
}

/// Missing: the default; null: none (-1); a list of one id is that id.
fn token_id(fields: &Fields, field: &str, default: i64) -> Result<i64> {
    let value = match fields.values.get(field) {
        None => return Ok(default),
        Some(Json::Array(items)) if items.len() == 1 => &items[0],
        Some(value) => value,
    };
    match value {
        Json::Null if fields.values.get(field) == Some(&Json::Null) => Ok(-1),
        Json::Int(id) => Ok(*id),
        _ => Err(fields.wrong(field, "one token id or null")),
    }
}

/// The base that transformers uses: `rope_parameters.rope_theta`, before version 5 `rope_theta`, else
/// 1e6.
fn hf_rope_theta(fields: &Fields) -> Result<f64> {
    let mut theta = fields.number_or("rope_theta", 1_000_000.0)?;
    for name in ["rope_scaling", "rope_parameters"] {
        let Some(object) = fields.object_or_none(name)? else {
            continue;
        };
        let rope = Fields::new(object, format!("{}: {name}", fields.place));
        let kind = rope.string_or("rope_type", rope.string_or("type", "default")?)?;
        if kind != "default" {
            return Err(unsupported(
                &rope,
                "rope_type",
                &Json::from(kind),
                "\"default\"",
            ));
        }
        if rope.number_or("partial_rotary_factor", 1.0)? != 1.0 {
            let found = rope.get("partial_rotary_factor").unwrap_or(&Json::Null);
            return Err(unsupported(&rope, "partial_rotary_factor", found, "1.0"));
        }
        theta = rope.number_or("rope_theta", theta)?;
    }
    Ok(theta)
}

/// `dtype`, before version 5 `torch_dtype`, else float32.
fn hf_dtype(fields: &Fields) -> Result<String> {
    let name = fields.string_or("dtype", fields.string_or("torch_dtype", "float32")?)?;
    for (dtype, hf_name) in HF_DTYPES {
        if name == hf_name {
            return Ok(dtype.to_string());
        }
    }
    let expected = "\"float32\", \"bfloat16\" or \"float16\"";
    Err(unsupported(fields, "dtype", &Json::from(name), expected))
}
