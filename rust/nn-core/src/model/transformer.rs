//! The whole model: embedding, blocks, final norm, LM head, and their backward, as one fixed sequence
//! of calls.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::attention::MQAttention;
use super::block::TransformerBlock;
use super::checkpoint::{SHARD_BYTES, TrainingState, load_checkpoint, save_checkpoint};
use super::config::MoEConfig;
use super::kv_cache::KVCache;
use super::moe::MoELayer;
use super::rope::RopeTables;
use super::router::{Router, Routing};
use super::weights::Weights;
use crate::error::Result;
use crate::files;
use crate::layer::{Embedding, Linear, RMSNorm, SwiGLU, Workspace};
use crate::messages;
use crate::tensor::reference::ReferenceBackend;
use crate::tensor::{Array, Backend, Buffer, DType, HostRef, Shape, TensorError};

/// A Mixture-of-Experts Transformer on a backend: token ids in, logits out.
///
/// Made for inference, where blocks share their activations, or for training, where each block keeps
/// its own, or only its input when `recompute` is set and forward runs again inside backward.
#[derive(Debug)]
pub struct MoETransformer {
    /// Sizes and constants.
    pub config: MoEConfig,
    /// What computes.
    pub backend: Arc<dyn Backend>,
    /// Of the weights and the cache.
    pub dtype: DType,
    /// Whether there are gradients.
    pub training: bool,
    recompute: bool,
    /// The flat buffers.
    pub weights: Weights,
    /// What does not outlive a step.
    pub scratch: Arc<Workspace>,
    /// The step's sum of the layers' balance losses.
    pub balance_loss: Buffer,
    /// The step's sum of the layers' z losses.
    pub z_loss: Buffer,
    saved: Vec<Arc<Workspace>>,
    embedding: Embedding,
    /// First to last.
    pub blocks: Vec<TransformerBlock>,
    norm: RMSNorm,
    head: Linear,
    /// `model.hidden.N`, made once so that a step builds no strings.
    hidden_names: Vec<String>,
    state: Mutex<State>,
}

/// What the last forward left.
#[derive(Debug, Default)]
struct State {
    positions_shape: (usize, usize),
    positions_version: u64,
    ids: Option<Buffer>,
}

/// How a model is made; [`Options::default`] is f32 for inference with fresh weights of seed 0.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Of the weights.
    pub dtype: DType,
    /// Whether it has gradients.
    pub training: bool,
    /// Whether forward runs again inside backward.
    pub recompute: bool,
    /// Of fresh weights; `None`: zeros to be loaded over.
    pub seed: Option<i64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dtype: DType::F32,
            training: false,
            recompute: false,
            seed: Some(0),
        }
    }
}

/// Sees each layer's routing as it is made.
pub type Observer<'a> = dyn FnMut(usize, &Routing) -> Result<()> + 'a;

impl MoETransformer {
    /// A model of this configuration. Errors: those of [`MoEConfig::validate`] and of the device;
    /// quantized_weights when a quantized model is to be trained.
    pub fn new(config: MoEConfig, backend: Arc<dyn Backend>, options: Options) -> Result<Self> {
        let config = config.validate("config")?;
        let Options {
            dtype,
            training,
            recompute,
            seed,
        } = options;
        if training {
            config.require_float("config")?;
        }
        let weights = Weights::new(backend.clone(), &config, dtype, training)?;
        if let Some(seed) = seed {
            weights.initialise(seed)?;
        }
        let scratch = Workspace::new(backend.clone());
        let rope = Arc::new(RopeTables::new(backend.clone(), &config)?);
        let shared = Workspace::new(backend.clone());
        let own = |_| {
            if training && !recompute {
                Workspace::new(backend.clone())
            } else {
                shared.clone()
            }
        };
        let saved: Vec<_> = (0..config.n_layers).map(own).collect();
        let mut blocks = Vec::new();
        for (layer, saved) in saved.iter().enumerate() {
            blocks.push(block(
                &backend, &config, &weights, &rope, dtype, layer, saved, &scratch,
            )?);
        }
        let norm = weights.parameter("model.norm.weight")?;
        let eps = config.rms_norm_eps;
        Ok(Self {
            embedding: Embedding::new(
                backend.clone(),
                weights.parameter("model.embed_tokens.weight")?,
            ),
            norm: RMSNorm::new(backend.clone(), norm, eps, scratch.clone(), "final_norm"),
            head: Linear::new(backend.clone(), weights.parameter("lm_head.weight")?),
            balance_loss: backend.buffer(DType::F32, 1)?,
            z_loss: backend.buffer(DType::F32, 1)?,
            hidden_names: (0..=config.n_layers.max(1))
                .map(|index| format!("model.hidden.{index}"))
                .collect(),
            state: Mutex::default(),
            config,
            backend,
            dtype,
            training,
            recompute,
            weights,
            scratch,
            saved,
            blocks,
        })
    }

    /// The preset `tiny` with fresh weights, for inference, on the reference backend.
    pub fn tiny() -> Self {
        Self::fresh(MoEConfig::tiny())
    }

    /// The preset `small` with fresh weights, for inference, on the reference backend.
    pub fn small() -> Self {
        Self::fresh(MoEConfig::small())
    }

    fn fresh(config: MoEConfig) -> Self {
        let made = Self::new(
            config,
            Arc::new(ReferenceBackend::new()),
            Options::default(),
        );
        // A preset is valid and the reference backend only refuses wrong arguments.
        made.unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// The model of a Mixtral folder, in its stored dtype or in `dtype`. `options.seed` and
    /// `options.dtype` are not looked at; quantized weights stay quantized. Errors: those of
    /// [`load_checkpoint`]; quantized_weights when it is to be trained.
    pub fn load(
        path: &Path,
        backend: Arc<dyn Backend>,
        dtype: Option<DType>,
        options: Options,
        ntk_alpha: Option<f64>,
    ) -> Result<Self> {
        let checkpoint = load_checkpoint(path)?;
        if options.training {
            let folder = files::text(&checkpoint.path);
            checkpoint.config.require_float(&folder)?;
        }
        let config = match ntk_alpha {
            Some(alpha) => checkpoint.config.with_ntk_alpha(alpha)?,
            None => checkpoint.config.clone(),
        };
        let dtype = dtype
            .or_else(|| DType::from_label(&config.dtype))
            .unwrap_or(DType::F32);
        let model = Self::new(
            config,
            backend,
            Options {
                dtype,
                seed: None,
                ..options
            },
        )?;
        model.weights.load(&checkpoint)?;
        Ok(model)
    }

    /// Writes a Mixtral folder, whole or not at all. Errors: disk_full, cannot_write.
    pub fn save(
        &self,
        path: &Path,
        tokenizer: Option<&[u8]>,
        training: Option<TrainingState>,
    ) -> Result<()> {
        let config = self.config.with_dtype(self.dtype.label())?;
        save_checkpoint(
            path,
            &config,
            &mut |name| self.weights.fetch(name),
            tokenizer,
            training,
            SHARD_BYTES,
        )
    }

    /// Logits `[batch, seq_len, vocab_size]` on the host for batch sequences of seq_len ids.
    ///
    /// Errors: no_ids, ids_wrong_count, sequence_too_long, id_out_of_range.
    pub fn forward_ids(&self, ids: &[i32], batch: usize, seq_len: usize) -> Result<Array> {
        self.check_ids(ids, batch, seq_len)?;
        let buffer = self.scratch.get("model.ids", ids.len(), DType::I32)?;
        self.backend.upload(&buffer, 0, HostRef::I32(ids))?;
        let logits = self.forward(&buffer, batch, seq_len)?;
        let v = self.config.vocab_size;
        let values = self
            .backend
            .download(&logits, 0, batch * seq_len * v)?
            .into_f32(DType::F32);
        Ok(Array::new(Shape::new(&[batch, seq_len, v])?, values)?)
    }

    /// The errors of [`MoETransformer::forward_ids`], before anything runs.
    pub fn check_ids(&self, ids: &[i32], batch: usize, seq_len: usize) -> Result<()> {
        if ids.is_empty() || batch < 1 || seq_len < 1 {
            return Err(messages::no_ids());
        }
        if batch.checked_mul(seq_len) != Some(ids.len()) {
            return Err(messages::ids_wrong_count(ids.len(), batch, seq_len));
        }
        if seq_len > self.config.context() {
            return Err(messages::sequence_too_long(seq_len, self.config.context()));
        }
        let size = self.config.vocab_size;
        let bad = |id: i32| usize::try_from(id).map_or(true, |id| id >= size);
        match ids.iter().position(|&id| bad(id)) {
            Some(position) => Err(messages::id_out_of_range(ids[position], position, size - 1)),
            None => Ok(()),
        }
    }

    /// Logits `[batch seq_len, vocab_size]` f32 on the device; ids `[batch seq_len]` i32. In training
    /// the routers' two losses are added to `balance_loss` and `z_loss`.
    pub fn forward(&self, ids: &Buffer, batch: usize, seq_len: usize) -> Result<Buffer> {
        self.forward_observed(ids, batch, seq_len, None)
    }

    /// [`MoETransformer::forward`]; `observe` sees each layer's routing as it is made.
    pub fn forward_observed(
        &self,
        ids: &Buffer,
        batch: usize,
        seq_len: usize,
        mut observe: Option<&mut Observer>,
    ) -> Result<Buffer> {
        let tokens = batch * seq_len;
        self.state().ids = Some(ids.clone());
        let positions = self.positions(batch, seq_len)?;
        self.embedding
            .forward(&self.hidden(0, tokens)?, ids, tokens)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let (y, x) = (self.hidden(layer + 1, tokens)?, self.hidden(layer, tokens)?);
            block.forward(&y, &x, &positions, batch, seq_len)?;
            if self.training {
                block
                    .moe
                    .router
                    .losses(&self.balance_loss, &self.z_loss, tokens)?;
            }
            if let Some(observe) = observe.as_mut() {
                observe(layer, &block.moe.router.routing(tokens)?)?;
            }
        }
        self.logits(&self.hidden(self.blocks.len(), tokens)?, tokens)
    }

    /// Runs `new_len` new tokens of each sequence of the cache, which keeps their keys and values, and
    /// returns their last hidden states `[batch new_len, hidden_size]`. ids, positions
    /// `[batch new_len]` i32: positions are the tokens' own, cache.positions where each sequence's new
    /// tokens begin, cache.lengths how many of them exist.
    pub fn extend(
        &self,
        ids: &Buffer,
        positions: &Buffer,
        cache: &KVCache,
        new_len: usize,
    ) -> Result<Buffer> {
        let tokens = cache.batch * new_len;
        self.embedding
            .forward(&self.hidden(0, tokens)?, ids, tokens)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let (y, x) = (self.hidden(layer + 1, tokens)?, self.hidden(layer, tokens)?);
            block.forward_cached(&y, &x, positions, cache, layer, new_len)?;
        }
        self.hidden(self.blocks.len(), tokens)
    }

    /// [`MoETransformer::extend`], then the logits `[batch new_len, vocab_size]`: the same bits as
    /// `forward` of the whole sequences.
    pub fn forward_cached(
        &self,
        ids: &Buffer,
        positions: &Buffer,
        cache: &KVCache,
        new_len: usize,
    ) -> Result<Buffer> {
        self.logits(
            &self.extend(ids, positions, cache, new_len)?,
            cache.batch * new_len,
        )
    }

    /// Accumulates every weight's gradient from dlogits `[batch seq_len, vocab_size]`, after `forward`
    /// of the same shape. The routers' losses enter with aux_coef and z_coef over n_layers
    /// micro_batches.
    pub fn backward(
        &self,
        dlogits: &Buffer,
        batch: usize,
        seq_len: usize,
        micro_batches: usize,
    ) -> Result<()> {
        let ids = self.state().ids.clone();
        let Some(ids) = ids.filter(|_| self.training) else {
            return Err(messages::not_training());
        };
        let tokens = batch * seq_len;
        let size = tokens * self.config.hidden_size;
        let positions = self.positions(batch, seq_len)?;
        let share = (self.blocks.len() * micro_batches) as f64;
        let (balance_coef, z_coef) = (self.config.aux_coef / share, self.config.z_coef / share);
        let dy = self.scratch.f32("model.dhidden", size)?;
        let dnormed = self.scratch.f32("model.dnormed", size)?;
        let normed = self.norm.y(tokens)?;
        self.head
            .backward(&dnormed, dlogits, &normed, tokens, false)?;
        self.norm.backward(
            &dy,
            &dnormed,
            &self.hidden(self.blocks.len(), tokens)?,
            tokens,
        )?;
        for (layer, block) in self.blocks.iter().enumerate().rev() {
            let x = self.hidden(layer, tokens)?;
            if self.recompute {
                let again = self.scratch.f32("model.recomputed", size)?;
                block.forward(&again, &x, &positions, batch, seq_len)?;
                block.moe.router.fractions(tokens)?;
            }
            block.backward(
                &dy,
                &dy,
                &x,
                &positions,
                (batch, seq_len),
                balance_coef,
                z_coef,
            )?;
        }
        self.embedding.backward(&dy, &ids, tokens)
    }

    /// 0 .. seq_len-1 for every sequence, `[batch seq_len]` i32.
    pub fn positions(&self, batch: usize, seq_len: usize) -> Result<Buffer> {
        let buffer = self
            .scratch
            .get("model.positions", batch * seq_len, DType::I32)?;
        let mut state = self.state();
        if state.positions_shape != (batch, seq_len) {
            let last = i32::try_from(seq_len)
                .map_err(|_| TensorError::invalid("seq_len is beyond i32"))?;
            let values: Vec<i32> = (0..batch).flat_map(|_| 0..last).collect();
            self.backend.upload(&buffer, 0, HostRef::from(&values))?;
            state.positions_shape = (batch, seq_len);
            state.positions_version += 1;
        }
        Ok(buffer)
    }

    /// Changes when a buffer of the activations was replaced or holds the positions of another shape;
    /// a graph recorded before must be recorded again.
    pub fn workspace_version(&self) -> u64 {
        let saved: u64 = self.saved.iter().map(|saved| saved.version()).sum();
        self.scratch.version() + saved + self.state().positions_version
    }

    /// The input of a block: kept for each in training, two in turn otherwise.
    fn hidden(&self, layer: usize, tokens: usize) -> Result<Buffer> {
        let index = if self.training { layer } else { layer % 2 };
        self.scratch
            .f32(&self.hidden_names[index], tokens * self.config.hidden_size)
    }

    fn logits(&self, x: &Buffer, tokens: usize) -> Result<Buffer> {
        let logits = self
            .scratch
            .f32("model.logits", tokens * self.config.vocab_size)?;
        self.head
            .forward(&logits, &self.norm.forward(x, tokens)?, tokens)?;
        Ok(logits)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn block(
    backend: &Arc<dyn Backend>,
    config: &MoEConfig,
    weights: &Weights,
    rope: &Arc<RopeTables>,
    kv_dtype: DType,
    layer: usize,
    saved: &Arc<Workspace>,
    scratch: &Arc<Workspace>,
) -> Result<TransformerBlock> {
    let at = format!("model.layers.{layer}.");
    let linear = |name: &str| -> Result<Linear> {
        Ok(Linear::new(
            backend.clone(),
            weights.parameter(&format!("{at}{name}.weight"))?,
        ))
    };
    let norm = |weight: &str, name: &str| -> Result<RMSNorm> {
        let weight = weights.parameter(&format!("{at}{weight}.weight"))?;
        Ok(RMSNorm::new(
            backend.clone(),
            weight,
            config.rms_norm_eps,
            saved.clone(),
            name,
        ))
    };
    let qkvo = [
        linear("self_attn.q_proj")?,
        linear("self_attn.k_proj")?,
        linear("self_attn.v_proj")?,
        linear("self_attn.o_proj")?,
    ];
    let gate = linear("block_sparse_moe.gate")?;
    let (saved, scratch) = (saved.clone(), scratch.clone());
    let router = Router::new(
        backend.clone(),
        config,
        gate,
        saved.clone(),
        scratch.clone(),
    );
    let stacks = weights.experts(config, layer)?;
    let experts = SwiGLU::new(backend.clone(), stacks, saved.clone(), scratch.clone());
    Ok(TransformerBlock::new(
        norm("input_layernorm", "input_norm")?,
        MQAttention::new(
            backend.clone(),
            config,
            qkvo,
            rope.clone(),
            kv_dtype,
            saved.clone(),
            scratch.clone(),
        ),
        norm("post_attention_layernorm", "post_attention_norm")?,
        MoELayer::new(backend.clone(), config, router, experts, scratch),
    ))
}
