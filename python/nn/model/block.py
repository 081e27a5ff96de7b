"""One Transformer block: attention, then experts, each normed before and added after."""

from __future__ import annotations

from nn.layers.rmsnorm import RMSNorm
from nn.model.attention import MQAttention
from nn.model.kv_cache import KVCache
from nn.model.moe import MoELayer
from nn.tensor.backend import Buffer


class TransformerBlock:
    """h = x + attention(norm(x));  y = h + moe(norm(h))."""

    def __init__(
        self, input_norm: RMSNorm, attention: MQAttention, post_attention_norm: RMSNorm, moe: MoELayer
    ) -> None:
        self.input_norm = input_norm
        self.attention = attention
        self.post_attention_norm = post_attention_norm
        self.moe = moe

    def forward(self, y: Buffer, x: Buffer, positions: Buffer, batch: int, seq_len: int) -> None:
        """y [batch seq_len, hidden_size] from x of the same shape."""
        tokens = batch * seq_len
        a = self.input_norm.forward(x, tokens)
        o = self.attention.forward(a, positions, batch, seq_len)
        h, b = self.post_attention_norm.forward_residual(o, x, tokens)
        self.moe.forward(y, b, h, tokens)

    def forward_cached(self, y: Buffer, x: Buffer, positions: Buffer, cache: KVCache, layer: int, new_len: int) -> None:
        """The same for new tokens of the cache's sequences."""
        tokens = cache.batch * new_len
        a = self.input_norm.forward(x, tokens)
        o = self.attention.forward_cached(a, positions, cache, layer, new_len)
        h, b = self.post_attention_norm.forward_residual(o, x, tokens)
        self.moe.forward(y, b, h, tokens)

    def backward(
        self,
        dx: Buffer,
        dy: Buffer,
        x: Buffer,
        positions: Buffer,
        batch: int,
        seq_len: int,
        balance_coef: float,
        z_coef: float,
    ) -> None:
        """dx from dy after a forward of x; dx may be dy. Weight gradients are accumulated."""
        tokens = batch * seq_len
        size = tokens * self.input_norm.hidden_size
        a = self.input_norm.saved.get(self.input_norm.name + ".y", size)
        h = self.post_attention_norm.saved.get(self.post_attention_norm.name + ".h", size)
        b = self.post_attention_norm.saved.get(self.post_attention_norm.name + ".y", size)
        db = self.moe.backward(dy, b, tokens, balance_coef, z_coef)
        self.post_attention_norm.backward_residual(dy, db, dy, h, tokens)
        da = self.attention.backward(dy, a, positions, batch, seq_len)
        self.input_norm.backward_residual(dx, da, dy, x, tokens)
