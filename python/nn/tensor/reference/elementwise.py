"""Elementwise ops: y[i] from the i-th elements of the inputs."""

from __future__ import annotations

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import DType, bf16_from_f32
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import FLOATS, UNQUANTIZED, Call, dense
from nn.tensor.reference.memory import FloatArray, load, store, window


def sigmoid(x: FloatArray) -> FloatArray:
    s: FloatArray = np.reciprocal(1 + np.exp(-x))
    return s


def silu(x: FloatArray) -> FloatArray:
    y: FloatArray = x / (1 + np.exp(-x))
    return y


def silu_slope(x: FloatArray) -> FloatArray:
    """silu'(x) = s (1 + x (1 - s)), s = sigmoid(x)."""
    s = sigmoid(x)
    slope: FloatArray = s * (1 + x * (1 - s))
    return slope


def _start(op: str, n: int) -> Call:
    call = Call(op)
    call.dims(n=n)
    call.nothing = n == 0
    return call


class Elementwise(Base):
    def add_forward(self, y: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        call = _start("add_forward", n)
        to = call.out("y", y, dense(n))
        left = call.into("a", a, dense(n), alias=("y",))
        right = call.into("b", b, dense(n), alias=("y",))
        self.submit(call, lambda: store(to, load(left, (n,)) + load(right, (n,))))

    def mul_forward(self, y: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        call = _start("mul_forward", n)
        to = call.out("y", y, dense(n))
        left = call.into("a", a, dense(n), alias=("y",))
        right = call.into("b", b, dense(n), alias=("y",))
        self.submit(call, lambda: store(to, load(left, (n,)) * load(right, (n,))))

    def mul_backward(self, da: Buffer, db: Buffer, dy: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        call = _start("mul_backward", n)
        to_a, to_b = call.out("da", da, dense(n)), call.out("db", db, dense(n))
        grad = call.into("dy", dy, dense(n))
        left, right = call.into("a", a, dense(n)), call.into("b", b, dense(n))

        def run() -> None:
            store(to_a, load(grad, (n,)) * load(right, (n,)))
            store(to_b, load(grad, (n,)) * load(left, (n,)))

        self.submit(call, run)

    def scale_forward(self, y: Buffer, x: Buffer, n: int, alpha: float) -> None:
        call = _start("scale_forward", n)
        to = call.out("y", y, dense(n))
        values = call.into("x", x, dense(n), alias=("y",))
        factor = call.real32("alpha", alpha)
        self.submit(call, lambda: store(to, factor * load(values, (n,))))

    def silu_forward(self, y: Buffer, x: Buffer, n: int) -> None:
        call = _start("silu_forward", n)
        to = call.out("y", y, dense(n))
        values = call.into("x", x, dense(n), alias=("y",))
        self.submit(call, lambda: store(to, silu(load(values, (n,)))))

    def silu_backward(self, dx: Buffer, dy: Buffer, x: Buffer, n: int) -> None:
        call = _start("silu_backward", n)
        to = call.out("dx", dx, dense(n))
        grad = call.into("dy", dy, dense(n), alias=("dx",))
        values = call.into("x", x, dense(n))
        self.submit(call, lambda: store(to, load(grad, (n,)) * silu_slope(load(values, (n,)))))

    def swiglu_forward(self, y: Buffer, gate: Buffer, up: Buffer, n: int) -> None:
        call = _start("swiglu_forward", n)
        to = call.out("y", y, dense(n), FLOATS)
        gates = call.into("gate", gate, dense(n), alias=("y",))
        ups = call.into("up", up, dense(n), alias=("y",))
        self.submit(call, lambda: store(to, silu(load(gates, (n,))) * load(ups, (n,))))

    def swiglu_backward(self, dgate: Buffer, dup: Buffer, dy: Buffer, gate: Buffer, up: Buffer, n: int) -> None:
        call = _start("swiglu_backward", n)
        to_gate, to_up = call.out("dgate", dgate, dense(n)), call.out("dup", dup, dense(n))
        grad = call.into("dy", dy, dense(n))
        gates = call.into("gate", gate, dense(n), alias=("dgate",))
        ups = call.into("up", up, dense(n), alias=("dup",))

        def run() -> None:
            g, u, d = load(gates, (n,)), load(ups, (n,)), load(grad, (n,))
            new_gate, new_up = d * u * silu_slope(g), d * silu(g)
            store(to_gate, new_gate)
            store(to_up, new_up)

        self.submit(call, run)

    def fill(self, y: Buffer, n: int, value: float) -> None:
        call = _start("fill", n)
        to = call.out("y", y, dense(n), UNQUANTIZED)
        call.fill_value("value", value, to.dtype)

        def run() -> None:
            if to.dtype is DType.BF16:
                window(to, (n,))[...] = bf16_from_f32(np.array([value]))
            else:
                window(to, (n,))[...] = value

        self.submit(call, run)
