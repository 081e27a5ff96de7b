"""NumPy as a careful user writes it: whole arrays, outputs and temporaries allocated once and written in place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from nn.json_fields import Fields
from numpy.typing import NDArray

from naive import Inputs, Loops

F32 = NDArray[np.float32]


def _whole(run: Callable[[], None], *outputs: F32) -> Loops:
    return Loops(run, 1.0, lambda: [output.reshape(-1).astype(np.float64) for output in outputs])


def matmul(case: Fields, inputs: Inputs) -> Loops:
    m, n, k = (case.integer(name) for name in ("m", "n", "k"))
    a, b, c = inputs[0].reshape(m, k), inputs[1].reshape(k, n), np.empty((m, n), np.float32)

    def run() -> None:
        np.matmul(a, b, out=c)

    return _whole(run, c)


def softmax(case: Fields, inputs: Inputs) -> Loops:
    x = inputs[0].reshape(case.integer("rows"), case.integer("cols"))
    y = np.empty_like(x)

    def run() -> None:
        np.subtract(x, x.max(axis=1, keepdims=True), out=y)
        np.exp(y, out=y)
        np.divide(y, y.sum(axis=1, keepdims=True), out=y)

    return _whole(run, y)


def silu(case: Fields, inputs: Inputs) -> Loops:
    x = inputs[0]
    y = np.empty_like(x)

    def run() -> None:
        _silu(y, x)

    return _whole(run, y)


def _silu(y: F32, x: F32) -> None:
    np.negative(x, out=y)
    np.exp(y, out=y)
    np.add(y, np.float32(1), out=y)
    np.divide(x, y, out=y)


def swiglu(case: Fields, inputs: Inputs) -> Loops:
    gate, up = inputs
    y = np.empty_like(gate)

    def run() -> None:
        _silu(y, gate)
        np.multiply(y, up, out=y)

    return _whole(run, y)


def rmsnorm(case: Fields, inputs: Inputs) -> Loops:
    rows, cols = case.integer("rows"), case.integer("cols")
    x, w = inputs[0].reshape(rows, cols), inputs[1]
    y, rstd = np.empty_like(x), np.empty((rows, 1), np.float32)

    def run() -> None:
        np.einsum("ij,ij->i", x, x, out=rstd[:, 0])
        np.divide(rstd, np.float32(cols), out=rstd)
        np.add(rstd, np.float32(1e-6), out=rstd)
        np.sqrt(rstd, out=rstd)
        np.reciprocal(rstd, out=rstd)
        np.multiply(x, rstd, out=y)
        np.multiply(y, w, out=y)

    return _whole(run, y, rstd)


def attention(case: Fields, inputs: Inputs) -> Loops:
    batch, seq, h, g, d = (case.integer(name) for name in ("batch", "seq", "n_heads", "n_kv_heads", "head_dim"))
    q = np.ascontiguousarray(inputs[0].reshape(batch, seq, h, d).transpose(0, 2, 1, 3))
    k = np.repeat(inputs[1].reshape(batch, seq, g, d).transpose(0, 2, 3, 1), h // g, axis=1)
    v = np.repeat(inputs[2].reshape(batch, seq, g, d).transpose(0, 2, 1, 3), h // g, axis=1)
    mask = np.triu(np.full((seq, seq), -np.inf, np.float32), 1)
    scores, mixed = np.empty((batch, h, seq, seq), np.float32), np.empty((batch, h, seq, d), np.float32)
    out, lse = np.empty((batch, seq, h, d), np.float32), np.empty((batch, seq, h), np.float32)

    def run() -> None:
        np.matmul(q, k, out=scores)
        np.multiply(scores, np.float32(d**-0.5), out=scores)
        np.add(scores, mask, out=scores)
        largest = scores.max(axis=3, keepdims=True)
        np.subtract(scores, largest, out=scores)
        np.exp(scores, out=scores)
        total = scores.sum(axis=3, keepdims=True)
        np.matmul(scores, v, out=mixed)
        np.divide(mixed.transpose(0, 2, 1, 3), total.transpose(0, 2, 1, 3), out=out)
        np.add(largest, np.log(total), out=largest)
        lse[...] = largest[..., 0].transpose(0, 2, 1)

    return _whole(run, out, lse)


def cross_entropy(case: Fields, inputs: Inputs) -> Loops:
    rows, cols = case.integer("rows"), case.integer("cols")
    logits = inputs[0].reshape(rows, cols)
    index, targets = np.arange(rows), np.arange(rows) % cols
    dlogits, loss = np.empty_like(logits), np.empty(1, np.float32)

    def run() -> None:
        largest = logits.max(axis=1, keepdims=True)
        np.subtract(logits, largest, out=dlogits)
        np.exp(dlogits, out=dlogits)
        total = dlogits.sum(axis=1, keepdims=True)
        loss[0] = (largest[:, 0] + np.log(total[:, 0]) - logits[index, targets]).sum()
        np.divide(dlogits, total * np.float32(rows), out=dlogits)
        dlogits[index, targets] -= np.float32(1 / rows)

    return _whole(run, loss, dlogits)


def adamw(case: Fields, inputs: Inputs) -> Loops:
    param, m, grad = (values.copy() for values in inputs)
    v, step, denominator = np.zeros_like(m), np.empty_like(m), np.empty_like(m)
    lr, beta1, beta2, eps, decay = 1e-3, 0.9, 0.95, 1e-8, 0.1

    def run() -> None:
        np.multiply(m, np.float32(beta1), out=m)
        np.multiply(grad, np.float32(1 - beta1), out=step)
        np.add(m, step, out=m)
        np.multiply(v, np.float32(beta2), out=v)
        np.multiply(grad, grad, out=step)
        np.multiply(step, np.float32(1 - beta2), out=step)
        np.add(v, step, out=v)
        np.sqrt(v, out=denominator)
        np.divide(denominator, np.float32((1 - beta2) ** 0.5), out=denominator)
        np.add(denominator, np.float32(eps), out=denominator)
        np.multiply(m, np.float32(lr / (1 - beta1)), out=step)
        np.divide(step, denominator, out=step)
        np.multiply(param, np.float32(1 - lr * decay), out=param)
        np.subtract(param, step, out=param)

    return _whole(run, param, m, v)


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
