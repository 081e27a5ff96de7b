//! Rotary position embedding (Su et al. 2021): the tables and their application to q and k together.

use std::sync::Arc;

use super::config::MoEConfig;
use crate::error::Result;
use crate::tensor::{Backend, Buffer, DType};

/// cos and sin of p theta'^(-2i/head_dim), `[context, head_dim/2]` f32, shared by every layer.
///
/// theta' = rope_theta ntk_alpha^(head_dim/(head_dim-2)): NTK scaling stretches the low frequencies
/// only.
#[derive(Debug)]
pub struct RopeTables {
    backend: Arc<dyn Backend>,
    head_dim: usize,
    context: usize,
    cos: Buffer,
    sin: Buffer,
}

impl RopeTables {
    /// The tables of a model.
    pub fn new(backend: Arc<dyn Backend>, config: &MoEConfig) -> Result<Self> {
        let (context, head_dim) = (config.context(), config.head_dim);
        let half = head_dim / 2;
        let cos = backend.buffer(DType::F32, context * half)?;
        let sin = backend.buffer(DType::F32, context * half)?;
        backend.rope_frequencies(
            &cos,
            &sin,
            context,
            head_dim,
            config.rope_theta,
            config.ntk_alpha,
        )?;
        Ok(Self {
            backend,
            head_dim,
            context,
            cos,
            sin,
        })
    }

    /// Rotates q `[tokens, n_heads, head_dim]` and k `[tokens, n_kv_heads, head_dim]` by their
    /// positions.
    pub fn forward(
        &self,
        q_out: &Buffer,
        k_out: &Buffer,
        q: &Buffer,
        k: &Buffer,
        positions: &Buffer,
        tokens: usize,
        n_heads: usize,
        n_kv_heads: usize,
    ) -> Result<()> {
        let (d, cos, sin) = (self.head_dim, &self.cos, &self.sin);
        Ok(self.backend.rope_forward(
            q_out,
            k_out,
            q,
            k,
            cos,
            sin,
            positions,
            tokens,
            n_heads,
            n_kv_heads,
            d,
            self.context,
            n_heads * d,
            d,
            n_kv_heads * d,
            d,
        )?)
    }

    /// Rotates the gradients back, in place.
    pub fn backward(
        &self,
        dq: &Buffer,
        dk: &Buffer,
        positions: &Buffer,
        tokens: usize,
        n_heads: usize,
        n_kv_heads: usize,
    ) -> Result<()> {
        let (d, cos, sin) = (self.head_dim, &self.cos, &self.sin);
        Ok(self.backend.rope_backward(
            dq,
            dk,
            dq,
            dk,
            cos,
            sin,
            positions,
            tokens,
            n_heads,
            n_kv_heads,
            d,
            self.context,
            n_heads * d,
            d,
            n_kv_heads * d,
            d,
        )?)
    }
}
