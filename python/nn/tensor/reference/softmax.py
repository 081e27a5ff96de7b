"""Softmax and top-k over the columns of a matrix."""

from __future__ import annotations

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import Array
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import I32, Call, dense
from nn.tensor.reference.memory import FloatArray, load, store, window

MOST_TOP_K = 1024


def softmax(x: FloatArray) -> FloatArray:
    """exp(x - max) / sum exp(x - max) along the last axis."""
    e: FloatArray = np.exp(x - x.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def softmax_gradient(dy: FloatArray, y: FloatArray) -> FloatArray:
    """y (dy - sum dy y) along the last axis."""
    dx: FloatArray = y * (dy - (dy * y).sum(axis=-1, keepdims=True))
    return dx


def logsumexp(x: FloatArray) -> FloatArray:
    most = x.max(axis=-1, keepdims=True)
    lse: FloatArray = most + np.log(np.exp(x - most).sum(axis=-1, keepdims=True))
    return lse[..., 0]


def top_k(x: FloatArray, k: int) -> Array:
    """Indices of the k largest of each row, descending, ties to the lower index; NaN orders below every number."""
    return np.argsort(-x, axis=-1, kind="stable")[..., :k]


def scattered(values: FloatArray, indices: Array, cols: int) -> FloatArray:
    """A matrix with values[r, j] in column indices[r, j], 0 elsewhere."""
    full = np.zeros((len(values), cols), np.float32)
    np.put_along_axis(full, indices, values, axis=1)
    return full


def _top_k_call(op: str, rows: int, cols: int, ldx: int, k: int) -> Call:
    call = Call(op)
    call.dims(rows=rows, cols=cols, ldx=ldx, k=k)
    call.nothing = rows == 0
    call.at_least("k", k, 1)
    call.at_most("k", k, cols, "cols")
    call.at_most("k", k, MOST_TOP_K)
    call.fits_i32("cols", cols)
    return call


class Softmax(Base):
    def softmax_forward(self, y: Buffer, x: Buffer, rows: int, cols: int, ldy: int, ldx: int) -> None:
        call = Call("softmax_forward")
        call.dims(rows=rows, cols=cols, ldy=ldy, ldx=ldx)
        call.nothing = 0 in (rows, cols)
        to = call.out("y", y, call.matrix(rows, cols, "ldy", ldy))
        values = call.into("x", x, call.matrix(rows, cols, "ldx", ldx), alias=("y",))
        self.submit(call, lambda: store(to, softmax(load(values, (rows, cols), (ldx, 1))), (ldy, 1)))

    def softmax_backward(self, dx: Buffer, dy: Buffer, y: Buffer, rows: int, cols: int, ld: int) -> None:
        call = Call("softmax_backward")
        call.dims(rows=rows, cols=cols, ld=ld)
        call.nothing = 0 in (rows, cols)
        to = call.out("dx", dx, call.matrix(rows, cols, "ld", ld))
        grad = call.into("dy", dy, call.matrix(rows, cols, "ld", ld), alias=("dx",))
        probs = call.into("y", y, call.matrix(rows, cols, "ld", ld))

        def run() -> None:
            shape, strides = (rows, cols), (ld, 1)
            store(to, softmax_gradient(load(grad, shape, strides), load(probs, shape, strides)), strides)

        self.submit(call, run)

    def top_k_forward(self, values: Buffer, indices: Buffer, x: Buffer, rows: int, cols: int, ldx: int, k: int) -> None:
        call = _top_k_call("top_k_forward", rows, cols, ldx, k)
        to_values = call.out("values", values, dense(rows, k))
        to_indices = call.out("indices", indices, dense(rows, k), I32)
        source = call.into("x", x, call.matrix(rows, cols, "ldx", ldx))

        def run() -> None:
            row = load(source, (rows, cols), (ldx, 1))
            chosen = top_k(row, k)
            window(to_indices, (rows, k))[...] = chosen
            store(to_values, np.take_along_axis(row, chosen, axis=1))

        self.submit(call, run)

    def top_k_backward(
        self, dx: Buffer, dvalues: Buffer, indices: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        call = _top_k_call("top_k_backward", rows, cols, ldx, k)
        to = call.out("dx", dx, call.matrix(rows, cols, "ldx", ldx))
        grad = call.into("dvalues", dvalues, dense(rows, k))
        chosen = call.into("indices", indices, dense(rows, k), I32)

        def run() -> None:
            columns = window(chosen, (rows, k))
            if self.good(call.op, "indices", columns, cols):
                store(to, scattered(load(grad, (rows, k)), columns, cols), (ldx, 1))

        self.submit(call, run)

    def softmax_top_k_forward(
        self, probs: Buffer, values: Buffer, indices: Buffer, x: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        call = _top_k_call("softmax_top_k_forward", rows, cols, ldx, k)
        to_probs = call.out("probs", probs, dense(rows, cols))
        to_values = call.out("values", values, dense(rows, k))
        to_indices = call.out("indices", indices, dense(rows, k), I32)
        source = call.into("x", x, call.matrix(rows, cols, "ldx", ldx))

        def run() -> None:
            p = softmax(load(source, (rows, cols), (ldx, 1)))
            chosen = top_k(p, k)
            store(to_probs, p)
            window(to_indices, (rows, k))[...] = chosen
            store(to_values, np.take_along_axis(p, chosen, axis=1))

        self.submit(call, run)

    def softmax_top_k_backward(
        self, dx: Buffer, dvalues: Buffer, indices: Buffer, probs: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        call = _top_k_call("softmax_top_k_backward", rows, cols, ldx, k)
        to = call.out("dx", dx, call.matrix(rows, cols, "ldx", ldx))
        grad = call.into("dvalues", dvalues, dense(rows, k))
        chosen = call.into("indices", indices, dense(rows, k), I32)
        p = call.into("probs", probs, dense(rows, cols))

        def run() -> None:
            columns = window(chosen, (rows, k))
            if self.good(call.op, "indices", columns, cols):
                dprobs = scattered(load(grad, (rows, k)), columns, cols)
                store(to, softmax_gradient(dprobs, load(p, (rows, cols))), (ldx, 1))

        self.submit(call, run)
