"""The model in float64, and beside every value how far f32 arithmetic may be from it.

Beside each array stands `s`, the standard deviation of its error, to first order and with independent roundings:

- A sum of K terms rounds K times, each time by at most eps/2 of a partial sum, which is at most the sum of the
  magnitudes S: its error has a deviation of at most sqrt(K) eps S / 2. `EPS` is eps/2 = 2^-24, a single rounding.
- Errors of the inputs pass through the derivative: s_y^2 = sum_j (dy/dx_j)^2 s_j^2.

No implementation is looked at: any order of summation is covered. What is stated is a deviation, so a result is within
`SIGMAS` of them (of 10^5 values, less than one normal one lies beyond 4.5; the bounds above are generous besides).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
EPS = 2.0**-24
SIGMAS = 4.5


@dataclass(frozen=True)
class Uncertain:
    """Values and the deviations of their errors, of one shape."""

    x: F64
    s: F64

    def plus(self, local: F64) -> Uncertain:
        """With the error of an operation of its own."""
        return Uncertain(self.x, np.hypot(self.s, local))

    def __add__(self, other: Uncertain) -> Uncertain:
        total = self.x + other.x
        return Uncertain(total, np.hypot(self.s, other.s)).plus(EPS * np.abs(total))


def linear(x: Uncertain, w: F64) -> Uncertain:
    """y = x W^T."""
    local = np.sqrt(w.shape[1]) * EPS * (np.abs(x.x) @ np.abs(w.T))
    return Uncertain(x.x @ w.T, np.sqrt(x.s**2 @ (w.T) ** 2)).plus(local)


def product(a: Uncertain, b: Uncertain, subscripts: str, terms: int) -> Uncertain:
    """A sum of `terms` products, as np.einsum writes it."""
    variance = np.einsum(subscripts, a.s**2, b.x**2) + np.einsum(subscripts, a.x**2, b.s**2)
    local = np.sqrt(terms) * EPS * np.einsum(subscripts, np.abs(a.x), np.abs(b.x))
    return Uncertain(np.einsum(subscripts, a.x, b.x), np.sqrt(variance)).plus(local)


def rmsnorm(x: Uncertain, w: F64, eps: float) -> Uncertain:
    """y = x r w, r = 1/sqrt(mean(x^2) + eps); dy_i/dx_j = w_i (r [i = j] - r^3 x_i x_j / n)."""
    n = x.x.shape[1]
    r = 1.0 / np.sqrt(np.mean(x.x**2, axis=1, keepdims=True) + eps)
    y = x.x * r * w
    inner = r**3 / n * x.x
    jacobian = r[:, :, None] * np.eye(n) - inner[:, :, None] * x.x[:, None, :]
    variance = np.einsum("tij,tj->ti", (w[:, None] * jacobian) ** 2, x.s**2)
    # The mean has n squares and n additions, halved by the root; then the root, the quotient and two products.
    return Uncertain(y, np.sqrt(variance)).plus(np.sqrt(n / 2 + 4) * EPS * np.abs(y))


def rope(x: Uncertain, theta: float) -> Uncertain:
    """[tokens, heads, d], half-split: two products, a sum, and cos and sin in f32."""
    tokens, _, d = x.x.shape
    angle = np.arange(tokens)[:, None] * theta ** (-2.0 * np.arange(d // 2) / d)
    c, s = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    (a, b), (sa, sb) = np.split(x.x, 2, axis=2), np.split(x.s, 2, axis=2)
    turned = np.concatenate([a * c - b * s, a * s + b * c], axis=2)
    deviation = np.concatenate([np.hypot(sa * c, sb * s), np.hypot(sa * s, sb * c)], axis=2)
    magnitude = np.concatenate([np.abs(a * c) + np.abs(b * s), np.abs(a * s) + np.abs(b * c)], axis=2)
    return Uncertain(turned, deviation).plus(np.sqrt(5.0) * EPS * magnitude)


def softmax(z: Uncertain) -> Uncertain:
    """p along the last axis, -inf excluded; dp_i = p_i (dz_i - sum_j p_j dz_j)."""
    shifted = z.x - np.max(z.x, axis=-1, keepdims=True)
    p = np.exp(shifted)
    p /= np.sum(p, axis=-1, keepdims=True)
    s = np.where(np.isfinite(z.x), z.s, 0.0)
    everyone = np.sum(p**2 * s**2, axis=-1, keepdims=True)
    variance = p**2 * ((1.0 - 2.0 * p) * s**2 + everyone)
    # The difference from the maximum is rounded, exp makes that relative; exp itself 4, the sum n, the quotient 1.
    n = z.x.shape[-1]
    depth = np.where(np.isfinite(shifted), np.abs(shifted), 0.0)
    return Uncertain(p, np.sqrt(np.maximum(variance, 0.0))).plus(EPS * p * np.hypot(np.sqrt(n + 5.0), depth))


def swiglu(a: Uncertain, b: Uncertain) -> Uncertain:
    """h = silu(a) b, silu'(a) = g (1 + a (1 - g)), g = 1/(1 + exp(-a))."""
    g = 1.0 / (1.0 + np.exp(-a.x))
    silu, slope = a.x * g, g * (1.0 + a.x * (1.0 - g))
    h = silu * b.x
    return Uncertain(h, np.hypot(slope * b.x * a.s, silu * b.s)).plus(EPS * np.abs(h) * np.sqrt(8.0 + a.x**2))


def attention(x: Uncertain, w: Mapping[str, F64], heads: int, kv: int, d: int, theta: float) -> Uncertain:
    """Causal, with kv heads that serve heads / kv query heads each."""
    tokens = x.x.shape[0]

    def of(name: str, count: int) -> Uncertain:
        y = linear(x, w[f"self_attn.{name}_proj.weight"])
        return Uncertain(y.x.reshape(tokens, count, d), y.s.reshape(tokens, count, d))

    q, k, v = rope(of("q", heads), theta), rope(of("k", kv), theta), of("v", kv)
    k, v = (Uncertain(*(np.repeat(part, heads // kv, axis=1) for part in (y.x, y.s))) for y in (k, v))
    score = product(q, k, "thd,uhd->htu", d)
    future = np.triu(np.full((tokens, tokens), -np.inf), 1)
    p = softmax(Uncertain(score.x / np.sqrt(d) + future, score.s / np.sqrt(d)).plus(EPS * np.abs(score.x) / np.sqrt(d)))
    out = product(p, v, "htu,uhd->thd", tokens)
    return linear(Uncertain(out.x.reshape(tokens, -1), out.s.reshape(tokens, -1)), w["self_attn.o_proj.weight"])


def experts(x: Uncertain, w: Mapping[str, F64], n_experts: int, top_k: int) -> Uncertain:
    """Renormalised weights are a softmax over the chosen experts alone. Errors: AssertionError where the choice itself
    is within the error: such a token proves nothing."""
    z = linear(x, w["block_sparse_moe.gate.weight"])
    chosen = np.argsort(-z.x, axis=1, kind="stable")[:, :top_k]
    limit = np.take_along_axis(z.x, chosen, 1).min(axis=1, keepdims=True)
    rest = z.x.copy()
    np.put_along_axis(rest, chosen, -np.inf, axis=1)
    assert top_k == n_experts or np.all(limit[:, 0] - rest.max(axis=1) > 2 * SIGMAS * z.s.max(axis=1)), "a tie"
    share = softmax(Uncertain(np.take_along_axis(z.x, chosen, 1), np.take_along_axis(z.s, chosen, 1)))
    outputs = []
    for expert in range(n_experts):
        w1, w2, w3 = (w[f"block_sparse_moe.experts.{expert}.w{number}.weight"] for number in (1, 2, 3))
        outputs.append(linear(swiglu(linear(x, w1), linear(x, w3)), w2))
    stacked = Uncertain(np.stack([y.x for y in outputs]), np.stack([y.s for y in outputs]))
    rows = np.arange(x.x.shape[0])[:, None]
    return product(share, Uncertain(stacked.x[chosen, rows], stacked.s[chosen, rows]), "tk,tkh->th", top_k)


def logits(weights: Mapping[str, F64], config: Mapping[str, float], ids: list[int]) -> Uncertain:
    """[tokens, vocabulary], by the names and fields of a Mixtral folder."""
    table = weights["model.embed_tokens.weight"]
    x = Uncertain(table[ids], np.zeros((len(ids), table.shape[1])))
    heads, kv, d = (int(config[f]) for f in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    eps, theta = config["rms_norm_eps"], config["rope_theta"]
    for layer in range(int(config["num_hidden_layers"])):
        prefix = f"model.layers.{layer}."
        w = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        x = x + attention(rmsnorm(x, w["input_layernorm.weight"], eps), w, heads, kv, d, theta)
        normed = rmsnorm(x, w["post_attention_layernorm.weight"], eps)
        x = x + experts(normed, w, int(config["num_local_experts"]), int(config["num_experts_per_tok"]))
    return linear(rmsnorm(x, weights["model.norm.weight"], eps), weights["lm_head.weight"])
