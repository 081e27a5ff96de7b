//! Which tensors a model has, and where each stands in the flat buffer that holds it.

use std::collections::HashMap;

use super::config::MoEConfig;

/// Elements: a tensor, and a stack of expert matrices, begins at a multiple of this.
pub const ALIGNMENT: usize = 16;

/// A "matrix" decays in AdamW, a "norm" does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Decays.
    Matrix,
    /// Does not, and begins as 1.
    Norm,
}

/// One tensor. `number` is its tensor number for Philox.
///
/// `quantized`: held and stored as blocks of 32 along its rows. In a quantized model these are all
/// matrices but the embedding, of which a token reads one row, and the routers, whose choices tip on
/// small differences.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// Its name in a checkpoint.
    pub name: String,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Its number, from 0.
    pub number: usize,
    /// What it is.
    pub kind: Kind,
    /// Whether it is blocks.
    pub quantized: bool,
}

impl ParameterSpec {
    /// Elements.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Offsets in elements of the flat buffer: matrices in `[0, n_matrix)`, norms in `[n_matrix, total)`;
/// those of a quantized tensor count elements of a second buffer, `[0, n_quantized)`.
///
/// Elements between tensors are padding and stay zero; between quantized ones there are none.
#[derive(Clone, Debug, Default)]
pub struct ParameterLayout {
    /// Where each tensor begins.
    pub offsets: HashMap<String, usize>,
    /// Per layer the start of `[n_experts, ffn_size, hidden_size]`: the experts' w1, one behind the
    /// other.
    pub w1_stack: Vec<usize>,
    /// Per layer the start of `[n_experts, ffn_size, hidden_size]`.
    pub w3_stack: Vec<usize>,
    /// Per layer the start of `[n_experts, hidden_size, ffn_size]`.
    pub w2_stack: Vec<usize>,
    /// Where the norms begin.
    pub n_matrix: usize,
    /// The end.
    pub total: usize,
    /// The end of the quantized tensors.
    pub n_quantized: usize,
}

/// All tensors under their Hugging Face names, in the order of their tensor numbers: embedding; per
/// layer input norm, q, k, v, o, post-attention norm, router, then per expert w1, w2, w3; final norm;
/// LM head.
///
/// A weight `[out, in]` maps x to x W^T.
pub fn parameter_specs(config: &MoEConfig) -> Vec<ParameterSpec> {
    let (h, f) = (config.hidden_size, config.ffn_size);
    let (q, kv) = (
        config.n_heads * config.head_dim,
        config.n_kv_heads * config.head_dim,
    );
    let mut entries = vec![(
        "model.embed_tokens.weight".to_string(),
        vec![config.vocab_size, h],
    )];
    for layer in 0..config.n_layers {
        let at = format!("model.layers.{layer}.");
        entries.push((format!("{at}input_layernorm.weight"), vec![h]));
        entries.push((format!("{at}self_attn.q_proj.weight"), vec![q, h]));
        entries.push((format!("{at}self_attn.k_proj.weight"), vec![kv, h]));
        entries.push((format!("{at}self_attn.v_proj.weight"), vec![kv, h]));
        entries.push((format!("{at}self_attn.o_proj.weight"), vec![h, q]));
        entries.push((format!("{at}post_attention_layernorm.weight"), vec![h]));
        entries.push((
            format!("{at}block_sparse_moe.gate.weight"),
            vec![config.n_experts, h],
        ));
        for expert in 0..config.n_experts {
            entries.push((expert_name(layer, expert, "w1"), vec![f, h]));
            entries.push((expert_name(layer, expert, "w2"), vec![h, f]));
            entries.push((expert_name(layer, expert, "w3"), vec![f, h]));
        }
    }
    entries.push(("model.norm.weight".to_string(), vec![h]));
    entries.push(("lm_head.weight".to_string(), vec![config.vocab_size, h]));
    entries
        .into_iter()
        .enumerate()
        .map(|(number, (name, shape))| {
            let kind = if shape.len() == 1 {
                Kind::Norm
            } else {
                Kind::Matrix
            };
            let kept = kind == Kind::Norm
                || name == "model.embed_tokens.weight"
                || name.ends_with(".block_sparse_moe.gate.weight");
            ParameterSpec {
                name,
                shape,
                number,
                kind,
                quantized: config.quantization != "none" && !kept,
            }
        })
        .collect()
}

/// `matrix` is w1, w2 or w3.
pub fn expert_name(layer: usize, expert: usize, matrix: &str) -> String {
    format!("model.layers.{layer}.block_sparse_moe.experts.{expert}.{matrix}.weight")
}

/// Order of the matrices: embedding; per layer q, k, v, o, router, w1 stack, w3 stack, w2 stack; LM
/// head. Then the norms: per layer input and post-attention; final. `n_matrix` and `total` are
/// aligned too.
pub fn parameter_layout(config: &MoEConfig) -> ParameterLayout {
    let mut placing = Placing {
        specs: parameter_specs(config)
            .into_iter()
            .map(|spec| (spec.name.clone(), spec))
            .collect(),
        offsets: HashMap::new(),
        at: 0,
        quantized_at: 0,
    };
    let mut layout = ParameterLayout::default();
    placing.place("model.embed_tokens.weight");
    for layer in 0..config.n_layers {
        for projection in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            placing.place(&format!(
                "model.layers.{layer}.self_attn.{projection}.weight"
            ));
        }
        placing.place(&format!(
            "model.layers.{layer}.block_sparse_moe.gate.weight"
        ));
        layout.w1_stack.push(placing.stack(config, layer, "w1"));
        layout.w3_stack.push(placing.stack(config, layer, "w3"));
        layout.w2_stack.push(placing.stack(config, layer, "w2"));
    }
    placing.place("lm_head.weight");
    placing.at = aligned(placing.at);
    layout.n_matrix = placing.at;
    for layer in 0..config.n_layers {
        placing.place(&format!("model.layers.{layer}.input_layernorm.weight"));
        placing.place(&format!(
            "model.layers.{layer}.post_attention_layernorm.weight"
        ));
    }
    placing.place("model.norm.weight");
    layout.total = aligned(placing.at);
    layout.n_quantized = placing.quantized_at;
    layout.offsets = placing.offsets;
    layout
}

struct Placing {
    specs: HashMap<String, ParameterSpec>,
    offsets: HashMap<String, usize>,
    at: usize,
    quantized_at: usize,
}

impl Placing {
    /// Behind the tensor placed before it, at the next aligned element; returns where.
    fn place(&mut self, name: &str) -> usize {
        let quantized = self.specs.get(name).is_some_and(|spec| spec.quantized);
        if !quantized {
            self.at = aligned(self.at);
        }
        self.place_at_once(name)
    }

    fn place_at_once(&mut self, name: &str) -> usize {
        let Some(spec) = self.specs.get(name) else {
            return self.at;
        };
        let end = if spec.quantized {
            &mut self.quantized_at
        } else {
            &mut self.at
        };
        let start = *end;
        *end += spec.size();
        self.offsets.insert(name.to_string(), start);
        start
    }

    /// One matrix of every expert; returns where the stack begins.
    fn stack(&mut self, config: &MoEConfig, layer: usize, matrix: &str) -> usize {
        let start = self.place(&expert_name(layer, 0, matrix));
        for expert in 1..config.n_experts {
            self.place_at_once(&expert_name(layer, expert, matrix));
        }
        start
    }
}

/// The next multiple of [`ALIGNMENT`].
pub fn aligned(offset: usize) -> usize {
    offset.next_multiple_of(ALIGNMENT)
}
