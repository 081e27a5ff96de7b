"""Causal attention with grouped key/value heads: the readable path, and the one without the T x T matrix stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import FLOATS, I32, Call, Extent, dense, strided
from nn.tensor.reference.memory import FloatArray, ReferenceBuffer, load, store
from nn.tensor.reference.softmax import logsumexp


@dataclass(frozen=True)
class Heads:
    """The dims and strides of one call: batch sequences of seq_len tokens, query heads in groups over kv heads."""

    batch: int
    seq_len: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    q_strides: tuple[int, int] = (0, 0)
    kv_strides: tuple[int, int] = (0, 0)

    def check(self, call: Call, seq_name: str = "seq_len") -> None:
        dims = {
            "batch": self.batch,
            seq_name: self.seq_len,
            "n_heads": self.n_heads,
            "n_kv_heads": self.n_kv_heads,
            "head_dim": self.head_dim,
            "q_token_stride": self.q_strides[0],
            "q_head_stride": self.q_strides[1],
            "kv_token_stride": self.kv_strides[0],
            "kv_head_stride": self.kv_strides[1],
        }
        call.dims(**dims)
        call.nothing = 0 in (self.batch, self.seq_len, self.n_heads, self.head_dim)
        if self.n_heads:
            call.at_least("n_kv_heads", self.n_kv_heads, 1)
        call.require(
            self.n_kv_heads == 0 or self.n_heads % self.n_kv_heads == 0,
            f"n_heads is {self.n_heads}, expected a multiple of n_kv_heads = {self.n_kv_heads}",
        )
        call.fits_i32(seq_name, self.seq_len)
        call.product("the number of tokens", self.batch, self.seq_len)

    @property
    def tokens(self) -> int:
        return self.batch * self.seq_len

    def q_extent(self) -> Extent:
        return strided(self.head_dim, (self.tokens, self.q_strides[0]), (self.n_heads, self.q_strides[1]))

    def kv_extent(self) -> Extent:
        return strided(self.head_dim, (self.tokens, self.kv_strides[0]), (self.n_kv_heads, self.kv_strides[1]))

    def out_extent(self) -> Extent:
        return dense(self.tokens, self.n_heads, self.head_dim)

    def matrix_extent(self) -> Extent:
        return dense(self.batch, self.n_heads, self.seq_len, self.seq_len)

    @property
    def matrix_shape(self) -> tuple[int, ...]:
        return (self.batch, self.n_heads, self.seq_len, self.seq_len)

    def q(self, buffer: ReferenceBuffer) -> FloatArray:
        """[batch, seq_len, n_heads, head_dim]"""
        return load(buffer, self.q_shape, self.q_steps)

    def kv(self, buffer: ReferenceBuffer) -> FloatArray:
        """[batch, seq_len, n_kv_heads, head_dim]"""
        return load(buffer, self.kv_shape, self.kv_steps)

    def out(self, buffer: ReferenceBuffer) -> FloatArray:
        """[batch, seq_len, n_heads, head_dim]"""
        return load(buffer, self.q_shape)

    @property
    def q_shape(self) -> tuple[int, ...]:
        return (self.batch, self.seq_len, self.n_heads, self.head_dim)

    @property
    def kv_shape(self) -> tuple[int, ...]:
        return (self.batch, self.seq_len, self.n_kv_heads, self.head_dim)

    @property
    def q_steps(self) -> tuple[int, ...]:
        return (self.seq_len * self.q_strides[0], *self.q_strides, 1)

    @property
    def kv_steps(self) -> tuple[int, ...]:
        return (self.seq_len * self.kv_strides[0], *self.kv_strides, 1)

    def pairs(self) -> Iterator[tuple[int, int, int]]:
        """(sequence, query head, the kv head it reads)"""
        group = self.n_heads // self.n_kv_heads
        for b in range(self.batch):
            for h in range(self.n_heads):
                yield b, h, h // group


def masked(x: FloatArray, value: float, first: int = 0) -> FloatArray:
    """x [queries, keys] with value where key j comes after query i, which stands at position first + i."""
    queries, keys = x.shape
    return np.where(np.arange(keys) <= first + np.arange(queries)[:, None], x, np.float32(value))


def over_keys(a: FloatArray, b: FloatArray, first: int = 0) -> FloatArray:
    """sum over j <= first + i of a[i,j] b[j]: a NaN in a later key reaches no earlier query."""
    if np.isfinite(b).all():
        return masked(a, 0, first) @ b
    return np.stack([row[: first + i + 1] @ b[: first + i + 1] for i, row in enumerate(a)])


def over_queries(a: FloatArray, b: FloatArray) -> FloatArray:
    """sum over i >= j of a[i,j] b[i]: a NaN in an earlier query reaches no later key."""
    if np.isfinite(b).all():
        return masked(a, 0).T @ b
    return np.stack([a[j:, j] @ b[j:] for j in range(a.shape[1])])


class Attention(Base):
    def attention_scores_forward(
        self,
        scores: Buffer,
        q: Buffer,
        k: Buffer,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        q_token_stride: int,
        q_head_stride: int,
        kv_token_stride: int,
        kv_head_stride: int,
        scale: float,
    ) -> None:
        call = Call("attention_scores_forward")
        s = Heads(
            batch,
            seq_len,
            n_heads,
            n_kv_heads,
            head_dim,
            (q_token_stride, q_head_stride),
            (kv_token_stride, kv_head_stride),
        )
        s.check(call)
        to = call.out("scores", scores, s.matrix_extent())
        queries = call.into("q", q, s.q_extent())
        keys = call.into("k", k, s.kv_extent())
        factor = call.real32("scale", scale)

        def run() -> None:
            qs, ks = s.q(queries), s.kv(keys)
            result = np.empty(s.matrix_shape, np.float32)
            for b, h, g in s.pairs():
                result[b, h] = masked(factor * (qs[b, :, h] @ ks[b, :, g].T), -np.inf)
            store(to, result)

        self.submit(call, run)

    def attention_scores_backward(
        self,
        dq: Buffer,
        dk: Buffer,
        dscores: Buffer,
        q: Buffer,
        k: Buffer,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        q_token_stride: int,
        q_head_stride: int,
        kv_token_stride: int,
        kv_head_stride: int,
        scale: float,
    ) -> None:
        call = Call("attention_scores_backward")
        s = Heads(
            batch,
            seq_len,
            n_heads,
            n_kv_heads,
            head_dim,
            (q_token_stride, q_head_stride),
            (kv_token_stride, kv_head_stride),
        )
        s.check(call)
        to_q, to_k = call.out("dq", dq, s.q_extent()), call.out("dk", dk, s.kv_extent())
        grad = call.into("dscores", dscores, s.matrix_extent())
        queries = call.into("q", q, s.q_extent())
        keys = call.into("k", k, s.kv_extent())
        factor = call.real32("scale", scale)

        def run() -> None:
            qs, ks, ds = s.q(queries), s.kv(keys), load(grad, s.matrix_shape)
            new_q, new_k = np.zeros(s.q_shape, np.float32), np.zeros(s.kv_shape, np.float32)
            for b, h, g in s.pairs():
                new_q[b, :, h] = factor * over_keys(ds[b, h], ks[b, :, g])
                new_k[b, :, g] += factor * over_queries(ds[b, h], qs[b, :, h])
            store(to_q, new_q, s.q_steps)
            store(to_k, new_k, s.kv_steps)

        self.submit(call, run)

    def attention_output_forward(
        self,
        out: Buffer,
        probs: Buffer,
        v: Buffer,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        kv_token_stride: int,
        kv_head_stride: int,
    ) -> None:
        call = Call("attention_output_forward")
        s = Heads(batch, seq_len, n_heads, n_kv_heads, head_dim, kv_strides=(kv_token_stride, kv_head_stride))
        s.check(call)
        to = call.out("out", out, s.out_extent())
        weights = call.into("probs", probs, s.matrix_extent())
        values = call.into("v", v, s.kv_extent())

        def run() -> None:
            p, vs = load(weights, s.matrix_shape), s.kv(values)
            result = np.empty(s.q_shape, np.float32)
            for b, h, g in s.pairs():
                result[b, :, h] = over_keys(p[b, h], vs[b, :, g])
            store(to, result)

        self.submit(call, run)

    def attention_output_backward(
        self,
        dprobs: Buffer,
        dv: Buffer,
        dout: Buffer,
        probs: Buffer,
        v: Buffer,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        kv_token_stride: int,
        kv_head_stride: int,
    ) -> None:
        call = Call("attention_output_backward")
        s = Heads(batch, seq_len, n_heads, n_kv_heads, head_dim, kv_strides=(kv_token_stride, kv_head_stride))
        s.check(call)
        to_p, to_v = call.out("dprobs", dprobs, s.matrix_extent()), call.out("dv", dv, s.kv_extent())
        grad = call.into("dout", dout, s.out_extent())
        weights = call.into("probs", probs, s.matrix_extent())
        values = call.into("v", v, s.kv_extent())

        def run() -> None:
            p, vs, do = load(weights, s.matrix_shape), s.kv(values), s.out(grad)
            new_p, new_v = np.zeros(s.matrix_shape, np.float32), np.zeros(s.kv_shape, np.float32)
            for b, h, g in s.pairs():
                new_p[b, h] = masked(do[b, :, h] @ vs[b, :, g].T, 0)
                new_v[b, :, g] += over_queries(p[b, h], do[b, :, h])
            store(to_p, new_p)
            store(to_v, new_v, s.kv_steps)

        self.submit(call, run)

    def attention_forward(
        self,
        out: Buffer,
        lse: Buffer,
        q: Buffer,
        k: Buffer,
        v: Buffer,
        lengths: Buffer | None,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        q_token_stride: int,
        q_head_stride: int,
        kv_token_stride: int,
        kv_head_stride: int,
        scale: float,
    ) -> None:
        call = Call("attention_forward")
        s = Heads(
            batch,
            seq_len,
            n_heads,
            n_kv_heads,
            head_dim,
            (q_token_stride, q_head_stride),
            (kv_token_stride, kv_head_stride),
        )
        s.check(call)
        to, to_lse = call.out("out", out, s.out_extent(), FLOATS), call.out("lse", lse, dense(s.tokens, n_heads))
        queries = call.into("q", q, s.q_extent())
        keys, values = call.into("k", k, s.kv_extent(), FLOATS), call.into("v", v, s.kv_extent(), FLOATS)
        limits = call.into_or_none("lengths", lengths, dense(batch), I32)
        factor = call.real32("scale", scale)
        call.same_dtype("v", values, "k", keys)

        def run() -> None:
            tokens = self.lengths_of(call.op, limits, batch, seq_len)
            if tokens is None:
                return
            qs, ks, vs = s.q(queries), s.kv(keys), s.kv(values)
            result, norms = np.zeros(s.q_shape, np.float32), np.zeros(s.q_shape[:3], np.float32)
            for b, h, g in s.pairs():
                t = tokens[b]
                if t:
                    x = masked(factor * (qs[b, :t, h] @ ks[b, :t, g].T), -np.inf)
                    norms[b, :t, h] = logsumexp(x)
                    result[b, :t, h] = over_keys(np.exp(x - norms[b, :t, h, None]), vs[b, :t, g])
            store(to, result)
            store(to_lse, norms)

        self.submit(call, run)

    def attention_backward(
        self,
        dq: Buffer,
        dk: Buffer,
        dv: Buffer,
        dout: Buffer,
        q: Buffer,
        k: Buffer,
        v: Buffer,
        out: Buffer,
        lse: Buffer,
        lengths: Buffer | None,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        q_token_stride: int,
        q_head_stride: int,
        kv_token_stride: int,
        kv_head_stride: int,
        scale: float,
    ) -> None:
        call = Call("attention_backward")
        s = Heads(
            batch,
            seq_len,
            n_heads,
            n_kv_heads,
            head_dim,
            (q_token_stride, q_head_stride),
            (kv_token_stride, kv_head_stride),
        )
        s.check(call)
        to_q, to_k = call.out("dq", dq, s.q_extent()), call.out("dk", dk, s.kv_extent())
        to_v = call.out("dv", dv, s.kv_extent())
        grad = call.into("dout", dout, s.out_extent())
        queries = call.into("q", q, s.q_extent())
        keys, values = call.into("k", k, s.kv_extent(), FLOATS), call.into("v", v, s.kv_extent(), FLOATS)
        result = call.into("out", out, s.out_extent())
        norms = call.into("lse", lse, dense(s.tokens, n_heads))
        limits = call.into_or_none("lengths", lengths, dense(batch), I32)
        factor = call.real32("scale", scale)
        call.same_dtype("v", values, "k", keys)

        def run() -> None:
            tokens = self.lengths_of(call.op, limits, batch, seq_len)
            if tokens is None:
                return
            qs, ks, vs, do, o = s.q(queries), s.kv(keys), s.kv(values), s.out(grad), s.out(result)
            logs = load(norms, s.q_shape[:3])
            new_q, new_k = np.zeros(s.q_shape, np.float32), np.zeros(s.kv_shape, np.float32)
            new_v = np.zeros(s.kv_shape, np.float32)
            for b, h, g in s.pairs():
                t = tokens[b]
                qh, kh, vh, doh = qs[b, :t, h], ks[b, :t, g], vs[b, :t, g], do[b, :t, h]
                p = np.exp(factor * (qh @ kh.T) - logs[b, :t, h, None])
                d = (doh * o[b, :t, h]).sum(axis=1, keepdims=True)
                ds = p * (doh @ vh.T - d)
                new_q[b, :t, h] = factor * over_keys(ds, kh)
                new_k[b, :t, g] += factor * over_queries(ds, qh)
                new_v[b, :t, g] += over_queries(p, doh)
            store(to_q, new_q, s.q_steps)
            store(to_k, new_k, s.kv_steps)
            store(to_v, new_v, s.kv_steps)

        self.submit(call, run)
