"""RMSNorm (Zhang and Sennrich 2019), plain and with the residual added first."""

from __future__ import annotations

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import FLOATS, Call, dense
from nn.tensor.reference.memory import FloatArray, ReferenceBuffer, load, store


def rms(x: FloatArray, eps: np.float32) -> FloatArray:
    """1 / sqrt(mean x^2 + eps) of each row, as a column."""
    rstd: FloatArray = 1 / np.sqrt((x * x).mean(axis=1, keepdims=True) + eps)
    return rstd


def gradients(dy: FloatArray, x: FloatArray, w: FloatArray, rstd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(dx, dw) with g = dy w, xh = x rstd: dx = rstd (g - xh mean(g xh)), dw = sum over rows of dy xh."""
    g, xh = dy * w, x * rstd
    return rstd * (g - xh * (g * xh).mean(axis=1, keepdims=True)), (dy * xh).sum(axis=0)


def _start(op: str, rows: int, cols: int) -> Call:
    call = Call(op)
    call.dims(rows=rows, cols=cols)
    call.nothing = 0 in (rows, cols)
    return call


class RMSNorm(Base):
    def rmsnorm_forward(self, y: Buffer, rstd: Buffer, x: Buffer, w: Buffer, rows: int, cols: int, eps: float) -> None:
        call = _start("rmsnorm_forward", rows, cols)
        to, to_rstd = call.out("y", y, dense(rows, cols), FLOATS), call.out("rstd", rstd, dense(rows))
        values = call.into("x", x, dense(rows, cols))
        weight = call.into("w", w, dense(cols), FLOATS)
        floor = call.real32("eps", eps, 0.0)

        def run() -> None:
            row = load(values, (rows, cols))
            r = rms(row, floor)
            store(to_rstd, r[:, 0])
            store(to, row * r * load(weight, (cols,)))

        self.submit(call, run)

    def rmsnorm_backward(
        self, dx: Buffer, dw: Buffer, dy: Buffer, x: Buffer, w: Buffer, rstd: Buffer, rows: int, cols: int
    ) -> None:
        call = _start("rmsnorm_backward", rows, cols)
        to, to_w = call.out("dx", dx, dense(rows, cols)), call.out("dw", dw, dense(cols))
        grad = call.into("dy", dy, dense(rows, cols), alias=("dx",))
        values = call.into("x", x, dense(rows, cols))
        weight = call.into("w", w, dense(cols), FLOATS)
        scale = call.into("rstd", rstd, dense(rows))
        self.submit(call, lambda: self._backward(to, to_w, grad, None, values, weight, scale, rows, cols))

    def rmsnorm_residual_forward(
        self,
        y: Buffer,
        h: Buffer,
        rstd: Buffer,
        x: Buffer,
        residual: Buffer,
        w: Buffer,
        rows: int,
        cols: int,
        eps: float,
    ) -> None:
        call = _start("rmsnorm_residual_forward", rows, cols)
        to, to_h = call.out("y", y, dense(rows, cols), FLOATS), call.out("h", h, dense(rows, cols))
        to_rstd = call.out("rstd", rstd, dense(rows))
        values = call.into("x", x, dense(rows, cols), alias=("h",))
        stream = call.into("residual", residual, dense(rows, cols), alias=("h",))
        weight = call.into("w", w, dense(cols), FLOATS)
        floor = call.real32("eps", eps, 0.0)

        def run() -> None:
            row = load(values, (rows, cols)) + load(stream, (rows, cols))
            r = rms(row, floor)
            store(to_h, row)
            store(to_rstd, r[:, 0])
            store(to, row * r * load(weight, (cols,)))

        self.submit(call, run)

    def rmsnorm_residual_backward(
        self,
        dx: Buffer,
        dw: Buffer,
        dy: Buffer,
        dh: Buffer,
        h: Buffer,
        w: Buffer,
        rstd: Buffer,
        rows: int,
        cols: int,
    ) -> None:
        call = _start("rmsnorm_residual_backward", rows, cols)
        to, to_w = call.out("dx", dx, dense(rows, cols)), call.out("dw", dw, dense(cols))
        grad = call.into("dy", dy, dense(rows, cols), alias=("dx",))
        grad_h = call.into("dh", dh, dense(rows, cols), alias=("dx",))
        values = call.into("h", h, dense(rows, cols))
        weight = call.into("w", w, dense(cols), FLOATS)
        scale = call.into("rstd", rstd, dense(rows))
        self.submit(call, lambda: self._backward(to, to_w, grad, grad_h, values, weight, scale, rows, cols))

    @staticmethod
    def _backward(
        to: ReferenceBuffer,
        to_w: ReferenceBuffer,
        grad: ReferenceBuffer,
        grad_h: ReferenceBuffer | None,
        values: ReferenceBuffer,
        weight: ReferenceBuffer,
        scale: ReferenceBuffer,
        rows: int,
        cols: int,
    ) -> None:
        shape = (rows, cols)
        dx, dw = gradients(load(grad, shape), load(values, shape), load(weight, (cols,)), load(scale, (rows, 1)))
        store(to, dx if grad_h is None else load(grad_h, shape) + dx)
        store(to_w, load(to_w, (cols,)) + dw)
