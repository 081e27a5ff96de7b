"""Rotary position embedding (Su et al. 2021): the tables and their application to q and k together."""

from __future__ import annotations

from nn.model.config import MoEConfig
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import DType


class RopeTables:
    """cos and sin of p theta'^(-2i/head_dim), [context, head_dim/2] f32, shared by every layer.

    theta' = rope_theta ntk_alpha^(head_dim/(head_dim-2)): NTK scaling stretches the low frequencies only.
    """

    def __init__(self, backend: Backend, config: MoEConfig) -> None:
        self.backend = backend
        self.head_dim = config.head_dim
        self.context = config.context
        half = config.head_dim // 2
        self.cos = backend.buffer(DType.F32, config.context * half)
        self.sin = backend.buffer(DType.F32, config.context * half)
        backend.rope_frequencies(
            self.cos, self.sin, config.context, config.head_dim, config.rope_theta, config.ntk_alpha
        )

    def forward(
        self,
        q_out: Buffer,
        k_out: Buffer,
        q: Buffer,
        k: Buffer,
        positions: Buffer,
        tokens: int,
        n_heads: int,
        n_kv_heads: int,
    ) -> None:
        """Rotates q [tokens, n_heads, head_dim] and k [tokens, n_kv_heads, head_dim] by their positions."""
        d = self.head_dim
        self.backend.rope_forward(
            q_out,
            k_out,
            q,
            k,
            self.cos,
            self.sin,
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
        )

    def backward(self, dq: Buffer, dk: Buffer, positions: Buffer, tokens: int, n_heads: int, n_kv_heads: int) -> None:
        """Rotates the gradients back, in place."""
        d = self.head_dim
        self.backend.rope_backward(
            dq,
            dk,
            dq,
            dk,
            self.cos,
            self.sin,
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
        )

    def close(self) -> None:
        """Releases the tables."""
        self.cos.close()
        self.sin.close()
