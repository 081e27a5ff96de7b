//! One Transformer block: attention, then experts, each normed before and added after.

use super::attention::MQAttention;
use super::kv_cache::KVCache;
use super::moe::MoELayer;
use crate::error::Result;
use crate::layer::RMSNorm;
use crate::tensor::Buffer;

/// h = x + attention(norm(x));  y = h + moe(norm(h)).
#[derive(Debug)]
pub struct TransformerBlock {
    input_norm: RMSNorm,
    attention: MQAttention,
    post_attention_norm: RMSNorm,
    /// The experts.
    pub moe: MoELayer,
}

impl TransformerBlock {
    /// A block of its four parts.
    pub fn new(
        input_norm: RMSNorm,
        attention: MQAttention,
        post_attention_norm: RMSNorm,
        moe: MoELayer,
    ) -> Self {
        Self {
            input_norm,
            attention,
            post_attention_norm,
            moe,
        }
    }

    /// y `[batch seq_len, hidden_size]` from x of the same shape.
    pub fn forward(
        &self,
        y: &Buffer,
        x: &Buffer,
        positions: &Buffer,
        batch: usize,
        seq_len: usize,
    ) -> Result<()> {
        let tokens = batch * seq_len;
        let a = self.input_norm.forward(x, tokens)?;
        let o = self.attention.forward(&a, positions, batch, seq_len)?;
        let (h, b) = self.post_attention_norm.forward_residual(&o, x, tokens)?;
        self.moe.forward(y, &b, &h, tokens)
    }

    /// The same for new tokens of the cache's sequences.
    pub fn forward_cached(
        &self,
        y: &Buffer,
        x: &Buffer,
        positions: &Buffer,
        cache: &KVCache,
        layer: usize,
        new_len: usize,
    ) -> Result<()> {
        let tokens = cache.batch * new_len;
        let a = self.input_norm.forward(x, tokens)?;
        let o = self
            .attention
            .forward_cached(&a, positions, cache, layer, new_len)?;
        let (h, b) = self.post_attention_norm.forward_residual(&o, x, tokens)?;
        self.moe.forward(y, &b, &h, tokens)
    }

    /// dx from dy after a forward of x; dx may be dy. Weight gradients are accumulated.
    pub fn backward(
        &self,
        dx: &Buffer,
        dy: &Buffer,
        x: &Buffer,
        positions: &Buffer,
        (batch, seq_len): (usize, usize),
        balance_coef: f64,
        z_coef: f64,
    ) -> Result<()> {
        let tokens = batch * seq_len;
        let a = self.input_norm.y(tokens)?;
        let h = self.post_attention_norm.h(tokens)?;
        let b = self.post_attention_norm.y(tokens)?;
        let db = self.moe.backward(dy, &b, tokens, balance_coef, z_coef)?;
        self.post_attention_norm
            .backward_residual(dy, &db, dy, &h, tokens)?;
        let da = self.attention.backward(dy, &a, positions, batch, seq_len)?;
        self.input_norm.backward_residual(dx, &da, dy, x, tokens)
    }
}
