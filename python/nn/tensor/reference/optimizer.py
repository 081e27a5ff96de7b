"""AdamW (Loshchilov and Hutter 2019), gradient clipping, and the sums they need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import Array, DType
from nn.tensor.philox import STREAM_ROUNDING, philox
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import F32, FLOATS, I32, I64, Call, dense
from nn.tensor.reference.memory import FloatArray, ReferenceBuffer, load, store, window

_F16_NORMAL = np.float32(2.0**-14)


def power(base: float, exponent: int) -> float:
    """base^exponent by binary powering: only products, so every device and language gets the same bits."""
    result, square = 1.0, base
    while exponent:
        if exponent & 1:
            result *= square
        square *= square
        exponent >>= 1
    return result


def stochastically_rounded(values: FloatArray, dtype: DType, word: Array) -> FloatArray:
    """f32 values that dtype holds, each one of its two neighbours there, the nearer the likelier.

    The upper bits of each value's random word, as many as the narrower significand lacks (bf16 16, f16 13), are added
    below the last kept bit, and what is below it is dropped. A value below f16's normal range is cut to a multiple of
    2^-24 and moved up one where the rest exceeds the word's uniform number. NaN and infinity stay.
    """
    lacking = np.uint32(16 if dtype is DType.BF16 else 13)
    bits = np.ascontiguousarray(values).view(np.uint32) + (word >> (np.uint32(32) - lacking))
    moved = (bits >> lacking << lacking).view(np.float32)
    if dtype is DType.F16:
        uniform = (word >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
        scaled = np.minimum(np.abs(values), _F16_NORMAL) * np.float32(2.0**24)
        tiny = (np.floor(scaled) + (scaled - np.floor(scaled) > uniform)) * np.float32(2.0**-24)
        moved = np.where(np.abs(values) >= _F16_NORMAL, moved, np.copysign(tiny, values))
    return np.where(np.isfinite(values), moved, values)


class Optimizer(Base):
    def sum_of_squares(self, sum: Buffer, x: Buffer, n: int) -> None:
        call = Call("sum_of_squares")
        call.dims(n=n)
        to = call.out("sum", sum, dense(1))
        values = call.into("x", x, dense(n), FLOATS)

        def run() -> None:
            wide = load(values, (n,)).astype(np.float64)
            store(to, np.array([(wide * wide).sum()]))

        self.submit(call, run)

    def clip_scale(
        self, scale: Buffer, norm: Buffer, nonfinite: Buffer, applied: Buffer, sum: Buffer, max_norm: float
    ) -> None:
        call = Call("clip_scale")
        to_scale, to_norm = call.out("scale", scale, dense(1)), call.out("norm", norm, dense(1))
        to_flag, to_applied = (
            call.out("nonfinite", nonfinite, dense(1), I32),
            call.out("applied", applied, dense(1), I64),
        )
        total = call.into("sum", sum, dense(1))
        call.real("max_norm", max_norm, 0.0)

        def run() -> None:
            length = np.sqrt(load(total, (1,)))
            finite = bool(np.isfinite(length[0]))
            clip = max_norm != 0 and finite
            store(to_norm, length)
            store(to_scale, np.minimum(1, max_norm / (length.astype(np.float64) + 1e-6)) if clip else np.ones(1))
            window(to_flag, (1,))[...] = 0 if finite else 1
            window(to_applied, (1,))[...] += 1 if finite else 0

        self.submit(call, run)

    def adamw_step(
        self,
        param: Buffer,
        master: Buffer | None,
        m: Buffer,
        v: Buffer,
        grad: Buffer,
        lr: Buffer,
        scale: Buffer,
        nonfinite: Buffer,
        applied: Buffer,
        seed: Buffer | None,
        n: int,
        start: int,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
    ) -> None:
        call = Call("adamw_step")
        call.dims(n=n, start=start)
        call.nothing = n == 0
        call.numbered("start", start, n)
        to = call.out("param", param, dense(n), FLOATS)
        to_master = None if master is None else call.out("master", master, dense(n))
        to_m = call.out("m", m, dense(n), (DType.F32, DType.BF16))
        to_v = call.out("v", v, dense(n), (DType.F32, DType.BF16))
        gradient = call.into("grad", grad, dense(n), (DType.F32, DType.BF16))
        rate, factor = call.into("lr", lr, dense(1)), call.into("scale", scale, dense(1))
        skip, steps = call.into("nonfinite", nonfinite, dense(1), I32), call.into("applied", applied, dense(1), I64)
        key = call.into_or_none("seed", seed, dense(1), I64)
        call.same_dtype("v", to_v, "m", to_m)
        rounds = to_m.dtype not in F32 or (to_master is None and to.dtype not in F32)
        call.require(
            key is not None or not rounds,
            "seed is 0, expected a buffer (16-bit values are rounded stochastically)",
        )
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            call.real(name, beta, 0.0)
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            call.require(beta < 1, f"{name} is {beta:g}, expected less than 1")
        call.real("eps", eps, 0.0)
        call.real("weight_decay", weight_decay, 0.0)

        def run() -> None:
            if window(skip, (1,))[0]:
                return
            t = int(window(steps, (1,))[0])
            draw = 0 if key is None else int(window(key, (1,))[0])
            step = np.float64(load(rate, (1,))[0])
            g = load(factor, (1,)) * load(gradient, (n,))
            b1, b2 = np.float32(beta1), np.float32(beta2)
            new_m = b1 * load(to_m, (n,)) + np.float32(1 - beta1) * g
            new_v = b2 * load(to_v, (n,)) + np.float32(1 - beta2) * (g * g)
            decay = np.float32(1 - step * weight_decay)
            size = np.float32(step / (1 - power(beta1, t)))
            root = np.float32(np.sqrt(1 - power(beta2, t)))
            p = load(to if to_master is None else to_master, (n,)) * decay
            p = p - size * new_m / (np.sqrt(new_v) / root + np.float32(eps))
            index = np.uint64(start) + np.arange(n, dtype=np.uint64)
            words = philox(draw, index, STREAM_ROUNDING, t & 0xFFFFFFFF) if rounds else None
            if to_master is not None:
                store(to_master, p)
                store(to, p)
            else:
                _keep(to, p, words, 0)
            _keep(to_m, new_m, words, 1)
            _keep(to_v, new_v, words, 2)

        self.submit(call, run)


def _keep(to: ReferenceBuffer, values: Array, words: Sequence[Array] | None, which: int) -> None:
    """Stores f32 as it is, anything narrower rounded stochastically by its word `which`."""
    if to.dtype is not DType.F32 and words is not None:
        values = stochastically_rounded(values, to.dtype, words[which].astype(np.uint32))
    store(to, values)
