//! The model's sizes and constants, and their form in a Hugging Face `config.json`
//! (MixtralForCausalLM).
//!
//! What is ours alone in that file: `ntk_alpha` and, where it is not 1, `ntk_base_theta` and
//! `ntk_base_positions` keep the model as it was trained, while `rope_theta`, `rope_parameters` and
//! `max_position_embeddings` say what follows from them. So every reader that knows only Hugging
//! Face's fields computes the same angles: the NTK-scaled base is a plain RoPE base, and `rope_type`
//! "default" is the one type that transformers applies as it stands (its "dynamic" type changes with
//! the length of the input). `aux_coef` and `z_coef` are ours too; see [`MoEConfig::hf_aux_coef`].
//! `rope_theta` and `torch_dtype` repeat what transformers before version 5 looks for. A quantized
//! folder says so in `quantization_config`, with a `quant_method` of our own, so that transformers
//! refuses it instead of misreading it.

use super::config_hf;
use crate::error::{NNError, Result};
use crate::json_strict::{Json, Object, dumps, loads_object};
use crate::messages;
use crate::tensor::dtype::QUANT_BLOCK;
use crate::text::repr;

/// (dtype, Hugging Face's name of it)
pub const HF_DTYPES: [(&str, &str); 3] =
    [("f32", "float32"), ("bf16", "bfloat16"), ("f16", "float16")];

/// Of `quantization_config`: matrices as U8, each row the blocks of cunn_quantize.
pub const QUANT_METHOD: &str = "cunn";
/// What [`MoEConfig::quantization`] may be.
pub const QUANTIZATIONS: [&str; 3] = ["none", "q8", "q4"];

const MAX_SIZE: i64 = (1 << 31) - 1;
const MAX_PARAMETERS: u128 = 1 << 48;

/// Sizes and constants of a Mixture-of-Experts Transformer. [`MoEConfig::validate`] says what must
/// hold.
#[derive(Clone, Debug, PartialEq)]
pub struct MoEConfig {
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Experts of a layer.
    pub n_experts: usize,
    /// Experts of a token.
    pub top_k: usize,
    /// Width of an expert.
    pub ffn_size: usize,
    /// The context as trained, before `ntk_alpha`; [`MoEConfig::context`] is what the model serves.
    pub max_positions: usize,
    /// The base as trained, before `ntk_alpha`; [`MoEConfig::effective_rope_theta`] is what the angles
    /// use.
    pub rope_theta: f64,
    /// How many times the trained context is served.
    pub ntk_alpha: f64,
    /// Added to the mean square of a norm.
    pub rms_norm_eps: f64,
    /// -1: none.
    pub bos_id: i64,
    /// -1: none.
    pub eos_id: i64,
    /// Of the balance loss.
    pub aux_coef: f64,
    /// Of the z loss.
    pub z_coef: f64,
    /// Of the weights: f32, bf16 or f16.
    pub dtype: String,
    /// Of the matrices that `ParameterSpec::quantized` names: none, q8 or q4, blocks of 32 along a row.
    pub quantization: String,
}

impl MoEConfig {
    /// The preset `tiny`.
    pub fn tiny() -> Self {
        Self::sizes(1000, 64, 2, 4, 16, 4, 2, 128, 512)
    }

    /// The preset `small`.
    pub fn small() -> Self {
        Self::sizes(4096, 256, 6, 8, 32, 8, 2, 512, 2048)
    }

    fn sizes(
        vocab_size: usize,
        hidden_size: usize,
        n_layers: usize,
        n_heads: usize,
        head_dim: usize,
        n_experts: usize,
        top_k: usize,
        ffn_size: usize,
        max_positions: usize,
    ) -> Self {
        Self {
            vocab_size,
            hidden_size,
            n_layers,
            n_heads,
            n_kv_heads: 1,
            head_dim,
            n_experts,
            top_k,
            ffn_size,
            max_positions,
            rope_theta: 10000.0,
            ntk_alpha: 1.0,
            rms_norm_eps: 1e-6,
            bos_id: 1,
            eos_id: 2,
            aux_coef: 0.01,
            z_coef: 0.001,
            dtype: "f32".to_string(),
            quantization: "none".to_string(),
        }
    }

    /// Positions the model serves: floor(max_positions ntk_alpha).
    pub fn context(&self) -> usize {
        (self.max_positions as f64 * self.ntk_alpha) as usize
    }

    /// theta' = theta alpha^(d/(d-2)), d = head_dim (NTK-aware scaling).
    pub fn effective_rope_theta(&self) -> f64 {
        ntk_theta(self.rope_theta, self.ntk_alpha, self.head_dim)
    }

    /// `router_aux_loss_coef`: our coefficient in Hugging Face's measure.
    ///
    /// Ours: aux_coef * mean over layers of E/k sum_i f_i P_i, which is aux_coef at perfect balance.
    /// Theirs lacks the 1/k and pools f and P over the layers before multiplying, so that coefficient
    /// is aux_coef / k; equal for one layer, and for more up to the pooling.
    pub fn hf_aux_coef(&self) -> f64 {
        self.aux_coef / self.top_k as f64
    }

    /// All weights: V H embedding, V H head, H final norm, and per layer attention, router, experts,
    /// two norms.
    pub fn n_parameters(&self) -> u128 {
        self.fixed_parameters()
            + self.n_layers as u128 * self.n_experts as u128 * self.expert_parameters()
    }

    /// Weights that one token meets: one row of the embedding, top_k experts of each layer, the rest
    /// whole.
    pub fn n_active_parameters(&self) -> u128 {
        let skipped = (self.vocab_size as u128 - 1) * self.hidden_size as u128;
        self.fixed_parameters() - skipped
            + self.n_layers as u128 * self.top_k as u128 * self.expert_parameters()
    }

    fn expert_parameters(&self) -> u128 {
        3 * self.hidden_size as u128 * self.ffn_size as u128
    }

    fn fixed_parameters(&self) -> u128 {
        let (h, d) = (self.hidden_size as u128, self.head_dim as u128);
        let attention = 2 * h * d * (self.n_heads + self.n_kv_heads) as u128;
        let layer = attention + self.n_experts as u128 * h + 2 * h;
        2 * self.vocab_size as u128 * h + self.n_layers as u128 * layer + h
    }

    /// Returns itself when it describes a model. `place` (a path) opens the sentence of an error.
    ///
    /// Errors: config_bad_value, config_experts_per_token, config_heads_not_divisible,
    /// config_odd_head_dim, config_too_large.
    pub fn validate(self, place: &str) -> Result<Self> {
        let sizes = [
            self.vocab_size,
            self.hidden_size,
            self.n_layers,
            self.n_heads,
            self.n_kv_heads,
            self.head_dim,
            self.n_experts,
            self.top_k,
            self.ffn_size,
            self.max_positions,
        ];
        check_sizes(
            place,
            sizes.map(|size| i64::try_from(size).unwrap_or(i64::MAX)),
        )?;
        let bad = |field: &str, value: String, expected: &str| {
            Err(messages::config_bad_value(place, field, &value, expected))
        };
        for (field, size, most) in [
            ("n_experts", self.n_experts, 1024),
            ("head_dim", self.head_dim, 65536),
        ] {
            if size > most {
                return bad(field, size.to_string(), &format!("at most {most}"));
            }
        }
        if self.top_k > self.n_experts {
            return Err(messages::config_experts_per_token(
                place,
                self.top_k,
                self.n_experts,
            ));
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return Err(messages::config_heads_not_divisible(
                place,
                self.n_heads,
                self.n_kv_heads,
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(messages::config_odd_head_dim(place, self.head_dim));
        }
        for (field, number) in [
            ("rope_theta", self.rope_theta),
            ("rms_norm_eps", self.rms_norm_eps),
        ] {
            if !(number > 0.0 && number.is_finite()) {
                return bad(field, repr(number), "more than 0");
            }
        }
        if !(1.0..=65536.0).contains(&self.ntk_alpha) {
            return bad("ntk_alpha", repr(self.ntk_alpha), "1 to 65536");
        }
        if self.ntk_alpha > 1.0 && self.head_dim < 4 {
            return bad(
                "head_dim",
                self.head_dim.to_string(),
                "at least 4 with ntk_alpha above 1",
            );
        }
        if self.context() as u64 > MAX_SIZE as u64 {
            let expected = format!("at most {MAX_SIZE}");
            return bad(
                "max_positions times ntk_alpha",
                self.context().to_string(),
                &expected,
            );
        }
        for (field, id) in [("bos_id", self.bos_id), ("eos_id", self.eos_id)] {
            if id < -1 || id >= self.vocab_size as i64 {
                let size = self.vocab_size;
                let expected = format!("an id below the vocabulary size {size}, or -1 for none");
                return bad(field, id.to_string(), &expected);
            }
        }
        for (field, number) in [("aux_coef", self.aux_coef), ("z_coef", self.z_coef)] {
            if !(number >= 0.0 && number.is_finite()) {
                return bad(field, repr(number), "at least 0");
            }
        }
        if !HF_DTYPES.iter().any(|(dtype, _)| *dtype == self.dtype) {
            return bad("dtype", self.dtype, "f32, bf16 or f16");
        }
        if !QUANTIZATIONS.contains(&self.quantization.as_str()) {
            return bad("quantization", self.quantization, "none, q8 or q4");
        }
        for (field, row) in [
            ("hidden_size", self.hidden_size),
            ("n_heads times head_dim", self.n_heads * self.head_dim),
            ("ffn_size", self.ffn_size),
        ] {
            if self.is_quantized() && !row.is_multiple_of(QUANT_BLOCK) {
                let expected = format!("a multiple of {QUANT_BLOCK} in a quantized model");
                return bad(field, row.to_string(), &expected);
            }
        }
        if self.n_parameters() > MAX_PARAMETERS {
            return Err(messages::config_too_large(place));
        }
        if !self.effective_rope_theta().is_finite() {
            return bad(
                "rope_theta scaled by ntk_alpha",
                "inf".to_string(),
                "a finite number",
            );
        }
        Ok(self)
    }

    /// The same weights read over `alpha` times the context. Errors: those of `validate`.
    pub fn with_ntk_alpha(&self, alpha: f64) -> Result<Self> {
        Self {
            ntk_alpha: alpha,
            ..self.clone()
        }
        .validate("config")
    }

    /// Errors: those of `validate`.
    pub fn with_dtype(&self, dtype: &str) -> Result<Self> {
        Self {
            dtype: dtype.to_string(),
            ..self.clone()
        }
        .validate("config")
    }

    /// Errors: those of `validate`.
    pub fn with_quantization(&self, quantization: &str) -> Result<Self> {
        Self {
            quantization: quantization.to_string(),
            ..self.clone()
        }
        .validate("config")
    }

    /// An error when a weight is quantized: only a model of floats can be trained. `place` opens its
    /// sentence. Errors: quantized_weights.
    pub fn require_float(&self, place: &str) -> Result<()> {
        if self.is_quantized() {
            return Err(messages::quantized_weights(place, &self.quantization));
        }
        Ok(())
    }

    fn is_quantized(&self) -> bool {
        self.quantization != "none"
    }

    /// The content of config.json, in the order it is written.
    pub fn to_hf(&self) -> Object {
        config_hf::write(self)
    }

    /// The text of config.json.
    pub fn to_json(&self) -> String {
        dumps(&Json::Object(self.to_hf()))
    }

    /// The content of generation_config.json.
    pub fn generation_json(&self) -> String {
        let mut content = Object::new();
        content.insert("_from_model_config", true);
        content.insert("bos_token_id", id_or_null(self.bos_id));
        content.insert("eos_token_id", id_or_null(self.eos_id));
        content.insert("use_cache", true);
        dumps(&Json::Object(content))
    }

    /// Reads the bytes of a config.json. Errors: those of [`loads_object`] and
    /// [`MoEConfig::from_hf`].
    pub fn from_json(data: &[u8], place: &str) -> Result<Self> {
        Self::from_hf(&loads_object(data, place)?, place)
    }

    /// Reads the content of a config.json, ours or that of any transformers since 4.36.
    ///
    /// A size must be there; of the rest a field that is missing or null means what it means to
    /// transformers. Fields that change nothing here (dropout, cache, initializer) are not looked at.
    /// Errors: field_missing, field_wrong_type, config_unsupported, config_hidden_not_divisible,
    /// config_ntk_mismatch and those of `validate`.
    pub fn from_hf(hf: &Object, place: &str) -> Result<Self> {
        config_hf::read(hf, place)
    }
}

/// The presets of the design. Errors: unknown_preset.
pub fn preset(name: &str) -> Result<MoEConfig> {
    match name {
        "tiny" => Ok(MoEConfig::tiny()),
        "small" => Ok(MoEConfig::small()),
        "6.9b" => Ok(MoEConfig::sizes(32000, 768, 30, 12, 64, 16, 4, 6144, 32768)),
        _ => Err(messages::unknown_preset(name, "tiny, small, 6.9b")),
    }
}

/// theta alpha^(d/(d-2)) in f64 with + - * / only, so that every language writes the same digits.
///
/// d/(d-2) = 1 + 1/m with m = (d-2)/2, so alpha^(d/(d-2)) = alpha * (the m-th root of alpha). The
/// root is found by bisection of `[1, alpha]` down to neighbouring floats; a power is m products from
/// 1 on, and may overflow to infinity.
pub fn ntk_theta(theta: f64, alpha: f64, head_dim: usize) -> f64 {
    if alpha == 1.0 {
        return theta;
    }
    let m = head_dim.saturating_sub(2) / 2;
    let (mut low, mut high) = (1.0, alpha);
    loop {
        let middle = 0.5 * (low + high);
        if !(low < middle && middle < high) {
            return theta * (alpha * low);
        }
        let mut power = 1.0;
        for _ in 0..m {
            power *= middle;
        }
        if power <= alpha {
            low = middle;
        } else {
            high = middle;
        }
    }
}

const SIZE_NAMES: [&str; 10] = [
    "vocab_size",
    "hidden_size",
    "n_layers",
    "n_heads",
    "n_kv_heads",
    "head_dim",
    "n_experts",
    "top_k",
    "ffn_size",
    "max_positions",
];

pub(super) fn check_sizes(place: &str, sizes: [i64; 10]) -> Result<()> {
    for (field, size) in SIZE_NAMES.into_iter().zip(sizes) {
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(bad_size(place, field, size));
        }
    }
    Ok(())
}

pub(super) fn bad_size(place: &str, field: &str, size: i64) -> NNError {
    messages::config_bad_value(place, field, &size.to_string(), &format!("1 to {MAX_SIZE}"))
}

pub(super) fn id_or_null(id: i64) -> Json {
    if id == -1 { Json::Null } else { Json::Int(id) }
}
