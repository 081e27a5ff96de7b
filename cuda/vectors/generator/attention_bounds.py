"""How far attention in f32, or with 16-bit keys and values, may stand from the truth. Derived in README.md."""

from __future__ import annotations

import numpy as np

from .case import Bound, bound
from .numbers import FLOATS, Array


class _Scores:
    """What every bound is made of: probabilities, the magnitude of each score and of its exp's argument, [h, i, j]."""

    def __init__(self, q: Array, k: Array, scale: float, first: int = 0) -> None:
        repeats = q.shape[1] // k.shape[1]
        wide = np.repeat(k, repeats, axis=1)
        self.visible = np.arange(k.shape[0])[None, :] <= first + np.arange(q.shape[0])[:, None]
        s = scale * np.einsum("ihd,jhd->hij", q, wide)
        self.dot = np.where(self.visible, scale * np.einsum("ihd,jhd->hij", np.abs(q), np.abs(wide)), 0.0)
        s = np.where(self.visible, s, -np.inf)
        self.max = s.max(axis=2, keepdims=True)
        e = np.exp(s - self.max)
        self.sum = e.sum(axis=2, keepdims=True)
        self.p = e / self.sum
        self.below = np.where(self.visible, self.max - s, 0.0)
        self.s = np.where(self.visible, s, 0.0)
        self.keys = np.maximum(first + 1 + np.arange(q.shape[0]), q.shape[2])  # terms of the longest sum of row i


def _out_bound(q: Array, k: Array, v: Array, scale: float, dtype: str, first: int) -> tuple[Bound, _Scores]:
    x = _Scores(q, k, scale, first)
    wide = np.repeat(v, q.shape[1] // v.shape[1], axis=1)
    y = np.einsum("hij,jhd->ihd", x.p, wide)
    # |v_j - out| p_j is the derivative with respect to score j.
    lean = np.abs(wide[None, :] - y[:, None])  # [i, j, h, d]
    plain = np.einsum("hij,jhd->ihd", x.p, np.abs(wide)) + np.abs(y)
    moved = np.einsum("hij,ijhd->ihd", x.p * (x.dot + x.below), lean)
    keys = np.broadcast_to(x.keys[:, None, None], y.shape)
    flush = np.einsum("ij,jhd->ihd", x.visible.astype(float), np.abs(wide))
    limit = bound(2, keys, plain + moved, flush=flush)
    if dtype != "f32":
        # q and p each rounded once to the narrow dtype.
        narrow = plain + np.einsum("hij,ijhd->ihd", x.p * x.dot, lean)
        limit = limit + bound(1, 1, narrow, FLOATS[dtype].eps)
    return limit, x


def forward_bounds(q: Array, k: Array, v: Array, scale: float, dtype: str) -> tuple[Bound, Bound]:
    """Bounds of out and lse."""
    out, x = _out_bound(q, k, v, scale, dtype, 0)
    moved = (x.p * (x.dot + x.below)).sum(axis=2)
    size = (np.abs(x.max) + np.abs(np.log(x.sum)) + 1.0)[:, :, 0] + moved
    limit = bound(2, np.broadcast_to(x.keys[:, None], size.T.shape), size.T)
    if dtype != "f32":
        limit = limit + bound(1, 1, ((x.p * x.dot).sum(axis=2) + 1.0).T, FLOATS[dtype].eps)
    return out, limit


def cached_bound(q: Array, k: Array, v: Array, first: int, scale: float, dtype: str) -> Bound:
    return _out_bound(q, k, v, scale, dtype, first)[0]


def gradient_bounds(
    dout: Array, q: Array, k: Array, v: Array, out: Array, lse: Array, scale: float, dtype: str
) -> tuple[Bound, Bound, Bound]:
    """Bounds of dq, dk, dv. p comes from the saved lse: its exponent is off by the score's error and by the rounding of
    s - lse."""
    x = _Scores(q, k, scale)
    repeats = q.shape[1] // k.shape[1]
    wide_k, wide_v = np.repeat(k, repeats, axis=1), np.repeat(v, repeats, axis=1)
    argument = np.abs(x.s - lse.T[:, :, None]) * x.visible
    dp = np.einsum("ihd,jhd->hij", dout, wide_v)
    dp_size = np.einsum("ihd,jhd->hij", np.abs(dout), np.abs(wide_v))
    row = np.einsum("ihd,ihd->hi", dout, out)[:, :, None]
    row_size = np.einsum("ihd,ihd->hi", np.abs(dout), np.abs(out))[:, :, None]

    def sums(ds: Array, p: Array) -> tuple[Array, Array, Array]:
        def group(d: Array) -> Array:
            return np.asarray(d.reshape(d.shape[0], k.shape[1], repeats, d.shape[2]).sum(axis=2))

        dq = scale * np.einsum("hij,jhd->ihd", ds, np.abs(wide_k))
        dk = scale * np.einsum("hij,ihd->jhd", ds, np.abs(q))
        return dq, group(dk), group(np.einsum("hij,ihd->jhd", p, np.abs(dout)))

    moved = 1.0 + x.dot + argument
    ds_size = x.p * (dp_size + row_size) + x.p * np.abs(dp - row) * moved
    tokens, head_dim = q.shape[0], q.shape[2]
    queries = np.maximum(repeats * (tokens - np.arange(tokens)), head_dim)
    lengths = (x.keys, queries, queries)
    sizes = sums(ds_size, x.p * moved)
    flushes = sums(x.visible * (dp_size + row_size), np.broadcast_to(x.visible, x.p.shape).astype(float))
    limits = [
        bound(2, np.broadcast_to(n[:, None, None], size.shape), size, flush=flush)
        for n, size, flush in zip(lengths, sizes, flushes, strict=True)
    ]
    if dtype != "f32":
        # dout, q, p and dS each rounded once to the narrow dtype.
        narrow = sums(x.p * (dp_size + row_size + np.abs(dp - row) * (1.0 + x.dot)), x.p * (1.0 + x.dot))
        limits = [a + bound(1, 1, size, FLOATS[dtype].eps) for a, size in zip(limits, narrow, strict=True)]
    return limits[0], limits[1], limits[2]
