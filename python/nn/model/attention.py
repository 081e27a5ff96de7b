"""Multi-query attention (Shazeer 2019): many query heads, few key/value heads, rotary positions, causal."""

from __future__ import annotations

import math

from nn.layers.linear import Linear
from nn.layers.workspace import Workspace
from nn.model.config import MoEConfig
from nn.model.kv_cache import KVCache
from nn.model.rope import RopeTables
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import DType


class MQAttention:
    """o = softmax(scale rope(x Wq^T) rope(x Wk^T)^T + causal mask) (x Wv^T) Wo^T, scale = 1/sqrt(head_dim).

    Keys and values are rounded to `kv_dtype` before any use, with or without a cache, so that both give the same bits.
    """

    def __init__(
        self,
        backend: Backend,
        config: MoEConfig,
        q: Linear,
        k: Linear,
        v: Linear,
        o: Linear,
        rope: RopeTables,
        kv_dtype: DType,
        saved: Workspace,
        scratch: Workspace,
    ) -> None:
        self.backend = backend
        self.n_heads, self.n_kv_heads, self.head_dim = config.n_heads, config.n_kv_heads, config.head_dim
        self.q, self.k, self.v, self.o = q, k, v, o
        self.rope = rope
        self.kv_dtype = kv_dtype
        self.saved = saved
        self.scratch = scratch
        self.scale = 1.0 / math.sqrt(self.head_dim)

    def forward(self, x: Buffer, positions: Buffer, batch: int, seq_len: int) -> Buffer:
        """[batch seq_len, hidden_size] from x of the same shape; positions [batch seq_len] i32."""
        tokens = batch * seq_len
        d, qw, kw = self.head_dim, self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        q, k, v = self._project(x, positions, tokens)
        out = self.saved.get("attention.out", tokens * qw)
        lse = self.saved.get("attention.lse", tokens * self.n_heads)
        self.backend.attention_forward(
            out, lse, q, k, v, None, batch, seq_len, self.n_heads, self.n_kv_heads, d, qw, d, kw, d, self.scale
        )
        return self._output(out, tokens)

    def forward_cached(self, x: Buffer, positions: Buffer, cache: KVCache, layer: int, new_len: int) -> Buffer:
        """The same for `new_len` new tokens of each of the cache's sequences, which it appends to the cache first."""
        tokens = cache.batch * new_len
        d, qw, kw = self.head_dim, self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        q = self.saved.get("attention.q", tokens * qw)
        k = self.saved.get("attention.k", tokens * kw)
        v = self.saved.get("attention.v", tokens * kw)
        self.q.forward(q, x, tokens)
        self.k.forward(k, x, tokens)
        self.v.forward(v, x, tokens)
        self.rope.forward(q, k, q, k, positions, tokens, self.n_heads, self.n_kv_heads)
        self.backend.cache_append(
            cache.k[layer],
            cache.v[layer],
            k,
            v,
            cache.block_table,
            cache.positions,
            cache.lengths,
            cache.batch,
            new_len,
            self.n_kv_heads,
            d,
            cache.page_size,
            cache.pages_per_sequence,
            cache.n_pages,
            kw,
            d,
        )
        out = self.saved.get("attention.out", tokens * qw)
        self.backend.attention_cached_forward(
            out,
            q,
            cache.k[layer],
            cache.v[layer],
            cache.block_table,
            cache.positions,
            cache.lengths,
            cache.batch,
            new_len,
            self.n_heads,
            self.n_kv_heads,
            d,
            cache.page_size,
            cache.pages_per_sequence,
            cache.n_pages,
            qw,
            d,
            self.scale,
        )
        return self._output(out, tokens)

    def backward(self, dy: Buffer, x: Buffer, positions: Buffer, batch: int, seq_len: int) -> Buffer:
        """dx [batch seq_len, hidden_size] from dy; the four weight gradients are accumulated."""
        tokens = batch * seq_len
        d, qw, kw = self.head_dim, self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        q, k, v = self._saved_qkv(tokens)
        out = self.saved.get("attention.out", tokens * qw)
        lse = self.saved.get("attention.lse", tokens * self.n_heads)
        dout = self.scratch.get("attention.dout", tokens * qw)
        dq = self.scratch.get("attention.dq", tokens * qw)
        dk = self.scratch.get("attention.dk", tokens * kw)
        dv = self.scratch.get("attention.dv", tokens * kw)
        dx = self.scratch.get("attention.dx", tokens * self.q.in_features)
        self.o.backward(dout, dy, out, tokens)
        self.backend.attention_backward(
            dq,
            dk,
            dv,
            dout,
            q,
            k,
            v,
            out,
            lse,
            None,
            batch,
            seq_len,
            self.n_heads,
            self.n_kv_heads,
            d,
            qw,
            d,
            kw,
            d,
            self.scale,
        )
        self.rope.backward(dq, dk, positions, tokens, self.n_heads, self.n_kv_heads)
        self.q.backward(dx, dq, x, tokens)
        self.k.backward(dx, dk, x, tokens, accumulate=True)
        self.v.backward(dx, dv, x, tokens, accumulate=True)
        return dx

    def _project(self, x: Buffer, positions: Buffer, tokens: int) -> tuple[Buffer, Buffer, Buffer]:
        """Rotated q, and k and v as the cache would hold them."""
        kw = self.n_kv_heads * self.head_dim
        q = self.saved.get("attention.q", tokens * self.n_heads * self.head_dim)
        k = self.saved.get("attention.k", tokens * kw)
        v = self.saved.get("attention.v", tokens * kw)
        self.q.forward(q, x, tokens)
        self.k.forward(k, x, tokens)
        self.v.forward(v, x, tokens)
        if self.kv_dtype == DType.F32:
            self.rope.forward(q, k, q, k, positions, tokens, self.n_heads, self.n_kv_heads)
            return q, k, v
        k_low = self.saved.get("attention.k_low", tokens * kw, self.kv_dtype)
        v_low = self.saved.get("attention.v_low", tokens * kw, self.kv_dtype)
        self.rope.forward(q, k_low, q, k, positions, tokens, self.n_heads, self.n_kv_heads)
        self.backend.cast(v_low, v, tokens * kw)
        return q, k_low, v_low

    def _saved_qkv(self, tokens: int) -> tuple[Buffer, Buffer, Buffer]:
        kw = self.n_kv_heads * self.head_dim
        q = self.saved.get("attention.q", tokens * self.n_heads * self.head_dim)
        if self.kv_dtype == DType.F32:
            return q, self.saved.get("attention.k", tokens * kw), self.saved.get("attention.v", tokens * kw)
        return (
            q,
            self.saved.get("attention.k_low", tokens * kw, self.kv_dtype),
            self.saved.get("attention.v_low", tokens * kw, self.kv_dtype),
        )

    def _output(self, out: Buffer, tokens: int) -> Buffer:
        y = self.scratch.get("attention.y", tokens * self.o.out_features)
        self.o.forward(y, out, tokens)
        return y
