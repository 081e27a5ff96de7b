//! Multi-query attention (Shazeer 2019): many query heads, few key/value heads, rotary positions,
//! causal.

use std::sync::Arc;

use super::config::MoEConfig;
use super::kv_cache::KVCache;
use super::rope::RopeTables;
use crate::error::Result;
use crate::layer::{Linear, Workspace};
use crate::tensor::{Backend, Buffer, DType};

/// o = softmax(scale rope(x Wq^T) rope(x Wk^T)^T + causal mask) (x Wv^T) Wo^T, scale =
/// 1/sqrt(head_dim).
///
/// Keys and values are rounded to `kv_dtype` before any use, with or without a cache, so that both
/// give the same bits.
#[derive(Debug)]
pub struct MQAttention {
    backend: Arc<dyn Backend>,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    rope: Arc<RopeTables>,
    kv_dtype: DType,
    saved: Arc<Workspace>,
    scratch: Arc<Workspace>,
    scale: f64,
}

impl MQAttention {
    /// Attention with the four maps q, k, v, o.
    pub fn new(
        backend: Arc<dyn Backend>,
        config: &MoEConfig,
        [q, k, v, o]: [Linear; 4],
        rope: Arc<RopeTables>,
        kv_dtype: DType,
        saved: Arc<Workspace>,
        scratch: Arc<Workspace>,
    ) -> Self {
        let head_dim = config.head_dim;
        Self {
            backend,
            n_heads: config.n_heads,
            n_kv_heads: config.n_kv_heads,
            head_dim,
            q,
            k,
            v,
            o,
            rope,
            kv_dtype,
            saved,
            scratch,
            scale: 1.0 / (head_dim as f64).sqrt(),
        }
    }

    /// `[batch seq_len, hidden_size]` from x of the same shape; positions `[batch seq_len]` i32.
    pub fn forward(
        &self,
        x: &Buffer,
        positions: &Buffer,
        batch: usize,
        seq_len: usize,
    ) -> Result<Buffer> {
        let tokens = batch * seq_len;
        let (d, qw, kw) = self.widths();
        let (q, k, v) = self.project(x, positions, tokens)?;
        let out = self.saved.f32("attention.out", tokens * qw)?;
        let lse = self.saved.f32("attention.lse", tokens * self.n_heads)?;
        let (heads, kv_heads) = (self.n_heads, self.n_kv_heads);
        self.backend.attention_forward(
            &out, &lse, &q, &k, &v, None, batch, seq_len, heads, kv_heads, d, qw, d, kw, d,
            self.scale,
        )?;
        self.output(&out, tokens)
    }

    /// The same for `new_len` new tokens of each of the cache's sequences, which it appends to the
    /// cache first.
    pub fn forward_cached(
        &self,
        x: &Buffer,
        positions: &Buffer,
        cache: &KVCache,
        layer: usize,
        new_len: usize,
    ) -> Result<Buffer> {
        let tokens = cache.batch * new_len;
        let (d, qw, kw) = self.widths();
        let (heads, kv_heads) = (self.n_heads, self.n_kv_heads);
        let q = self.saved.f32("attention.q", tokens * qw)?;
        let k = self.saved.f32("attention.k", tokens * kw)?;
        let v = self.saved.f32("attention.v", tokens * kw)?;
        self.q.forward(&q, x, tokens)?;
        self.k.forward(&k, x, tokens)?;
        self.v.forward(&v, x, tokens)?;
        self.rope
            .forward(&q, &k, &q, &k, positions, tokens, heads, kv_heads)?;
        let (table, lengths) = (cache.block_table.as_ref(), cache.lengths.as_ref());
        self.backend.cache_append(
            &cache.k[layer],
            &cache.v[layer],
            &k,
            &v,
            table,
            &cache.positions,
            lengths,
            cache.batch,
            new_len,
            kv_heads,
            d,
            cache.page_size,
            cache.pages_per_sequence,
            cache.n_pages,
            kw,
            d,
        )?;
        let out = self.saved.f32("attention.out", tokens * qw)?;
        self.backend.attention_cached_forward(
            &out,
            &q,
            &cache.k[layer],
            &cache.v[layer],
            table,
            &cache.positions,
            lengths,
            cache.batch,
            new_len,
            heads,
            kv_heads,
            d,
            cache.page_size,
            cache.pages_per_sequence,
            cache.n_pages,
            qw,
            d,
            self.scale,
        )?;
        self.output(&out, tokens)
    }

    /// dx `[batch seq_len, hidden_size]` from dy; the four weight gradients are accumulated.
    pub fn backward(
        &self,
        dy: &Buffer,
        x: &Buffer,
        positions: &Buffer,
        batch: usize,
        seq_len: usize,
    ) -> Result<Buffer> {
        let tokens = batch * seq_len;
        let (d, qw, kw) = self.widths();
        let (heads, kv_heads) = (self.n_heads, self.n_kv_heads);
        let (q, k, v) = self.saved_qkv(tokens)?;
        let out = self.saved.f32("attention.out", tokens * qw)?;
        let lse = self.saved.f32("attention.lse", tokens * heads)?;
        let dout = self.scratch.f32("attention.dout", tokens * qw)?;
        let dq = self.scratch.f32("attention.dq", tokens * qw)?;
        let dk = self.scratch.f32("attention.dk", tokens * kw)?;
        let dv = self.scratch.f32("attention.dv", tokens * kw)?;
        let dx = self
            .scratch
            .f32("attention.dx", tokens * self.q.in_features)?;
        self.o.backward(&dout, dy, &out, tokens, false)?;
        self.backend.attention_backward(
            &dq, &dk, &dv, &dout, &q, &k, &v, &out, &lse, None, batch, seq_len, heads, kv_heads, d,
            qw, d, kw, d, self.scale,
        )?;
        self.rope
            .backward(&dq, &dk, positions, tokens, heads, kv_heads)?;
        self.q.backward(&dx, &dq, x, tokens, false)?;
        self.k.backward(&dx, &dk, x, tokens, true)?;
        self.v.backward(&dx, &dv, x, tokens, true)?;
        Ok(dx)
    }

    /// head_dim, and the elements of a token in q and in k.
    fn widths(&self) -> (usize, usize, usize) {
        let d = self.head_dim;
        (d, self.n_heads * d, self.n_kv_heads * d)
    }

    /// Rotated q, and k and v as the cache would hold them.
    fn project(
        &self,
        x: &Buffer,
        positions: &Buffer,
        tokens: usize,
    ) -> Result<(Buffer, Buffer, Buffer)> {
        let (_, qw, kw) = self.widths();
        let q = self.saved.f32("attention.q", tokens * qw)?;
        let k = self.saved.f32("attention.k", tokens * kw)?;
        let v = self.saved.f32("attention.v", tokens * kw)?;
        self.q.forward(&q, x, tokens)?;
        self.k.forward(&k, x, tokens)?;
        self.v.forward(&v, x, tokens)?;
        let (heads, kv_heads) = (self.n_heads, self.n_kv_heads);
        if self.kv_dtype == DType::F32 {
            self.rope
                .forward(&q, &k, &q, &k, positions, tokens, heads, kv_heads)?;
            return Ok((q, k, v));
        }
        let k_low = self
            .saved
            .get("attention.k_low", tokens * kw, self.kv_dtype)?;
        let v_low = self
            .saved
            .get("attention.v_low", tokens * kw, self.kv_dtype)?;
        self.rope
            .forward(&q, &k_low, &q, &k, positions, tokens, heads, kv_heads)?;
        self.backend.cast(&v_low, &v, tokens * kw)?;
        Ok((q, k_low, v_low))
    }

    fn saved_qkv(&self, tokens: usize) -> Result<(Buffer, Buffer, Buffer)> {
        let (_, qw, kw) = self.widths();
        let low = self.kv_dtype != DType::F32;
        let (k, v) = if low {
            ("attention.k_low", "attention.v_low")
        } else {
            ("attention.k", "attention.v")
        };
        Ok((
            self.saved.f32("attention.q", tokens * qw)?,
            self.saved.get(k, tokens * kw, self.kv_dtype)?,
            self.saved.get(v, tokens * kw, self.kv_dtype)?,
        ))
    }

    fn output(&self, out: &Buffer, tokens: usize) -> Result<Buffer> {
        let y = self
            .scratch
            .f32("attention.y", tokens * self.o.out_features)?;
        self.o.forward(&y, out, tokens)?;
        Ok(y)
    }
}
