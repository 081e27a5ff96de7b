"""Rotary position embedding (Su et al. 2021), half-split form: pairs are (i, i + head_dim/2)."""

from __future__ import annotations

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import F32, FLOATS, I32, Call, dense, strided
from nn.tensor.reference.memory import FloatArray, load, store, window


def rotated(x: FloatArray, cos: FloatArray, sin: FloatArray) -> FloatArray:
    """x [tokens, heads, d], tables [tokens, 1, d/2]: first half x1 c - x2 s, second half x2 c + x1 s."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


class RoPE(Base):
    def rope_frequencies(
        self, cos: Buffer, sin: Buffer, positions: int, head_dim: int, theta: float, ntk_alpha: float
    ) -> None:
        call = Call("rope_frequencies")
        call.dims(positions=positions, head_dim=head_dim)
        _even(call, head_dim)
        call.nothing = 0 in (positions, head_dim)
        half = head_dim // 2
        to_cos, to_sin = call.out("cos", cos, dense(positions, half)), call.out("sin", sin, dense(positions, half))
        for name, value in (("theta", theta), ("ntk_alpha", ntk_alpha)):
            call.require(call.real(name, value) > 0, f"{name} is {value:g}, expected a positive number")
        call.require(ntk_alpha == 1 or head_dim != 2, "head_dim is 2, expected more for ntk_alpha other than 1")

        def run() -> None:
            base = theta if ntk_alpha == 1 else theta * ntk_alpha ** (head_dim / (head_dim - 2))
            frequencies = base ** (-2.0 * np.arange(half) / head_dim)
            angles = np.arange(positions)[:, None] * frequencies
            store(to_cos, np.cos(angles))
            store(to_sin, np.sin(angles))

        self.submit(call, run)

    def rope_forward(
        self,
        q_out: Buffer,
        k_out: Buffer,
        q: Buffer,
        k: Buffer,
        cos: Buffer,
        sin: Buffer,
        positions: Buffer,
        tokens: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        table_positions: int,
        q_token_stride: int,
        q_head_stride: int,
        k_token_stride: int,
        k_head_stride: int,
    ) -> None:
        self._rope(
            Call("rope_forward"),
            ("q_out", "k_out", "q", "k"),
            (q_out, k_out, q, k),
            (cos, sin, positions),
            (tokens, n_heads, n_kv_heads, head_dim, table_positions),
            (q_token_stride, q_head_stride),
            (k_token_stride, k_head_stride),
            1,
        )

    def rope_backward(
        self,
        dq: Buffer,
        dk: Buffer,
        dq_out: Buffer,
        dk_out: Buffer,
        cos: Buffer,
        sin: Buffer,
        positions: Buffer,
        tokens: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        table_positions: int,
        q_token_stride: int,
        q_head_stride: int,
        k_token_stride: int,
        k_head_stride: int,
    ) -> None:
        self._rope(
            Call("rope_backward"),
            ("dq", "dk", "dq_out", "dk_out"),
            (dq, dk, dq_out, dk_out),
            (cos, sin, positions),
            (tokens, n_heads, n_kv_heads, head_dim, table_positions),
            (q_token_stride, q_head_stride),
            (k_token_stride, k_head_stride),
            -1,
        )

    def _rope(
        self,
        call: Call,
        names: tuple[str, str, str, str],
        buffers: tuple[Buffer, Buffer, Buffer, Buffer],
        tables: tuple[Buffer, Buffer, Buffer],
        dims: tuple[int, int, int, int, int],
        q_strides: tuple[int, int],
        k_strides: tuple[int, int],
        sign: int,
    ) -> None:
        tokens, n_heads, n_kv_heads, head_dim, table_positions = dims
        call.dims(
            tokens=tokens,
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            head_dim=head_dim,
            table_positions=table_positions,
            q_token_stride=q_strides[0],
            q_head_stride=q_strides[1],
            k_token_stride=k_strides[0],
            k_head_stride=k_strides[1],
        )
        _even(call, head_dim)
        call.nothing = 0 in (tokens, head_dim) or n_heads == n_kv_heads == 0
        half = head_dim // 2
        q_extent = strided(head_dim, (tokens, q_strides[0]), (n_heads, q_strides[1]))
        k_extent = strided(head_dim, (tokens, k_strides[0]), (n_kv_heads, k_strides[1]))
        outputs = FLOATS if sign > 0 else F32
        to_q = call.out(names[0], buffers[0], q_extent, outputs)
        to_k = call.out(names[1], buffers[1], k_extent, outputs)
        from_q = call.into(names[2], buffers[2], q_extent, alias=(names[0],))
        from_k = call.into(names[3], buffers[3], k_extent, alias=(names[1],))
        cos = call.into("cos", tables[0], dense(table_positions, half))
        sin = call.into("sin", tables[1], dense(table_positions, half))
        at = call.into("positions", tables[2], dense(tokens), I32)

        def run() -> None:
            index = window(at, (tokens,))
            if not self.good(call.op, "positions", index, table_positions):
                return
            c = load(cos, (table_positions, half))[index][:, None]
            s = sign * load(sin, (table_positions, half))[index][:, None]
            for to, source, heads, strides in (
                (to_q, from_q, n_heads, (*q_strides, 1)),
                (to_k, from_k, n_kv_heads, (*k_strides, 1)),
            ):
                store(to, rotated(load(source, (tokens, heads, head_dim), strides), c, s), strides)

        self.submit(call, run)


def _even(call: Call, head_dim: int) -> None:
    call.require(head_dim % 2 == 0, f"head_dim is {head_dim}, expected an even number")
