"""Plain loops over plain lists, as the formula is read: what the language itself costs.

Python's float has 64 bits; that is what its loops compute with (those of Rust and Go are f32, but for the exponential
and the logarithm). A loop that would take seconds does its first rows only: `share` is how much of the work that is,
and times are divided by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from nn.json_fields import Fields
from numpy.typing import NDArray

STEPS = 400_000
"""Inner steps that a run does at most, or else a single row."""

Inputs = list[NDArray[np.float32]]


@dataclass
class Loops:
    """`run` does `share` of the case's work; `result` is its outputs as they stand, in the order of the case's."""

    run: Callable[[], None]
    share: float
    result: Callable[[], list[NDArray[np.float64]]]


def _rows(rows: int, steps_per_row: float) -> int:
    return max(1, min(rows, int(STEPS / steps_per_row)))


def matmul(case: Fields, inputs: Inputs) -> Loops:
    m, n, k = (case.integer(name) for name in ("m", "n", "k"))
    some = _rows(m, n * k)
    a = [[float(x) for x in row] for row in inputs[0].reshape(m, k)[:some]]
    b = [[float(x) for x in row] for row in inputs[1].reshape(k, n)]
    c = [[0.0] * n for _ in range(some)]

    def run() -> None:
        for i in range(some):
            for j in range(n):
                total = 0.0
                for p in range(k):
                    total += a[i][p] * b[p][j]
                c[i][j] = total

    return Loops(run, some / m, lambda: [np.asarray(c).reshape(-1)])


def softmax(case: Fields, inputs: Inputs) -> Loops:
    rows, cols = case.integer("rows"), case.integer("cols")
    some = _rows(rows, 3 * cols)
    x = [[float(v) for v in row] for row in inputs[0].reshape(rows, cols)[:some]]
    y = [[0.0] * cols for _ in range(some)]

    def run() -> None:
        for i in range(some):
            largest = -math.inf
            for j in range(cols):
                if x[i][j] > largest:
                    largest = x[i][j]
            total = 0.0
            for j in range(cols):
                y[i][j] = math.exp(x[i][j] - largest)
                total += y[i][j]
            for j in range(cols):
                y[i][j] /= total

    return Loops(run, some / rows, lambda: [np.asarray(y).reshape(-1)])


def silu(case: Fields, inputs: Inputs) -> Loops:
    n = case.integer("n")
    some = _rows(n, 2)
    x = [float(v) for v in inputs[0][:some]]
    y = [0.0] * some

    def run() -> None:
        for i in range(some):
            y[i] = x[i] / (1.0 + math.exp(-x[i]))

    return Loops(run, some / n, lambda: [np.asarray(y)])


def swiglu(case: Fields, inputs: Inputs) -> Loops:
    n = case.integer("n")
    some = _rows(n, 3)
    gate, up = ([float(v) for v in values[:some]] for values in inputs)
    y = [0.0] * some

    def run() -> None:
        for i in range(some):
            y[i] = gate[i] / (1.0 + math.exp(-gate[i])) * up[i]

    return Loops(run, some / n, lambda: [np.asarray(y)])


def rmsnorm(case: Fields, inputs: Inputs) -> Loops:
    rows, cols = case.integer("rows"), case.integer("cols")
    some = _rows(rows, 2 * cols)
    x = [[float(v) for v in row] for row in inputs[0].reshape(rows, cols)[:some]]
    w = [float(v) for v in inputs[1]]
    y = [[0.0] * cols for _ in range(some)]
    rstd = [0.0] * some

    def run() -> None:
        for i in range(some):
            total = 0.0
            for j in range(cols):
                total += x[i][j] * x[i][j]
            rstd[i] = 1.0 / math.sqrt(total / cols + 1e-6)
            for j in range(cols):
                y[i][j] = x[i][j] * rstd[i] * w[j]

    return Loops(run, some / rows, lambda: [np.asarray(y).reshape(-1), np.asarray(rstd)])


def attention(case: Fields, inputs: Inputs) -> Loops:
    """The first queries of the first sequence, every head of each."""
    batch, seq, h, g, d = (case.integer(name) for name in ("batch", "seq", "n_heads", "n_kv_heads", "head_dim"))
    some = _rows(seq, h * d * math.sqrt(2.0 * STEPS / (h * d)) / 2)  # query t costs t + 1 keys
    q = [[[float(v) for v in head] for head in row] for row in inputs[0].reshape(batch * seq, h, d)[:some]]
    k = [[[float(v) for v in head] for head in row] for row in inputs[1].reshape(batch * seq, g, d)[:some]]
    v = [[[float(v) for v in head] for head in row] for row in inputs[2].reshape(batch * seq, g, d)[:some]]
    out = [[[0.0] * d for _ in range(h)] for _ in range(some)]
    lse = [[0.0] * h for _ in range(some)]
    scale = d**-0.5

    def run() -> None:
        for t in range(some):
            for head in range(h):
                kv = head * g // h
                scores = [0.0] * (t + 1)
                largest = -math.inf
                for s in range(t + 1):
                    dot = 0.0
                    for i in range(d):
                        dot += q[t][head][i] * k[s][kv][i]
                    scores[s] = dot * scale
                    largest = max(largest, scores[s])
                total = 0.0
                for s in range(t + 1):
                    scores[s] = math.exp(scores[s] - largest)
                    total += scores[s]
                for i in range(d):
                    mixed = 0.0
                    for s in range(t + 1):
                        mixed += scores[s] * v[s][kv][i]
                    out[t][head][i] = mixed / total
                lse[t][head] = largest + math.log(total)

    share = some * (some + 1) / (batch * seq * (seq + 1))
    return Loops(run, share, lambda: [np.asarray(out).reshape(-1), np.asarray(lse).reshape(-1)])


def cross_entropy(case: Fields, inputs: Inputs) -> Loops:
    rows, cols = case.integer("rows"), case.integer("cols")
    some = _rows(rows, 4 * cols)
    logits = [[float(v) for v in row] for row in inputs[0].reshape(rows, cols)[:some]]
    targets = [r % cols for r in range(some)]
    dlogits = [[0.0] * cols for _ in range(some)]
    loss = [0.0]

    def run() -> None:
        loss[0] = 0.0
        for i in range(some):
            largest = -math.inf
            for j in range(cols):
                if logits[i][j] > largest:
                    largest = logits[i][j]
            total = 0.0
            for j in range(cols):
                dlogits[i][j] = math.exp(logits[i][j] - largest)
                total += dlogits[i][j]
            for j in range(cols):
                dlogits[i][j] = dlogits[i][j] / total / rows
            dlogits[i][targets[i]] -= 1.0 / rows
            loss[0] += largest + math.log(total) - logits[i][targets[i]]

    return Loops(run, some / rows, lambda: [np.asarray(loss), np.asarray(dlogits).reshape(-1)])


def adamw(case: Fields, inputs: Inputs) -> Loops:
    n = case.integer("n")
    some = _rows(n, 8)
    param, m, grad = ([float(v) for v in values[:some]] for values in inputs)
    v = [0.0] * some
    lr, beta1, beta2, eps, decay = 1e-3, 0.9, 0.95, 1e-8, 0.1  # the first step: beta^t = beta

    def run() -> None:
        for i in range(some):
            m[i] = beta1 * m[i] + (1.0 - beta1) * grad[i]
            v[i] = beta2 * v[i] + (1.0 - beta2) * grad[i] * grad[i]
            step = (lr / (1.0 - beta1)) * m[i] / (math.sqrt(v[i]) / math.sqrt(1.0 - beta2) + eps)
            param[i] = param[i] * (1.0 - lr * decay) - step

    return Loops(run, some / n, lambda: [np.asarray(values) for values in (param, m, v)])


KINDS: dict[str, Callable[[Fields, Inputs], Loops]] = {
    "adamw": adamw,
    "attention": attention,
    "cross_entropy": cross_entropy,
    "matmul": matmul,
    "rmsnorm": rmsnorm,
    "silu": silu,
    "softmax": softmax,
    "swiglu": swiglu,
}
