"""Copies, casts, transposes and block quantization."""

from __future__ import annotations

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import QUANT_BLOCK, Array, DType
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import FLOATS, I32, I64, QUANTIZED, UNQUANTIZED, Call, dense
from nn.tensor.reference.memory import FloatArray, load, store, window

_I32_RANGE = (-(2**31), 2**31)


def quantized(x: FloatArray, dtype: DType) -> Array:
    """Blocks of 32 values [blocks, 32] as bytes [blocks, 34 (q8) or 18 (q4)], the f16 scale first."""
    rows = np.arange(len(x))
    if dtype is DType.Q8:
        d = (np.abs(x).max(axis=1) / np.float32(127)).astype(np.float16)
    else:
        d = (x[rows, np.abs(x).argmax(axis=1)] / np.float32(-8)).astype(np.float16)
    scale = d.astype(np.float32)[:, None]
    q = np.where(scale == 0, 0, np.rint(x / np.where(scale == 0, 1, scale)))
    head = d[:, None].view(np.uint8)
    if dtype is DType.Q8:
        return np.concatenate([head, np.clip(q, -128, 127).astype(np.int8).view(np.uint8)], axis=1)
    nibbles = (np.clip(q, -8, 7) + 8).astype(np.uint8)
    return np.concatenate([head, nibbles[:, :16] | nibbles[:, 16:] << 4], axis=1)


def dequantized(blocks: Array, dtype: DType) -> FloatArray:
    """The inverse layout: d q of every block."""
    d = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
    body = np.ascontiguousarray(blocks[:, 2:])
    if dtype is DType.Q8:
        return d * body.view(np.int8).astype(np.float32)
    return d * (np.concatenate([body & 15, body >> 4], axis=1).astype(np.float32) - 8)


def _check_blocks(call: Call, n: int) -> None:
    call.require(n % QUANT_BLOCK == 0, f"n is {n}, expected a multiple of {QUANT_BLOCK} (a block of q8 or q4)")


class Conversion(Base):
    def copy(self, y: Buffer, x: Buffer, n: int) -> None:
        call = Call("copy")
        call.dims(n=n)
        call.nothing = n == 0
        to = call.out("y", y, dense(n), tuple(DType))
        source = call.into("x", x, dense(n), tuple(DType))
        call.same_dtype("x", source, "y", to)
        if to.dtype.is_quantized:
            _check_blocks(call, n)
        size = to.dtype.storage_count(n)

        def run() -> None:
            window(to, (size,))[...] = window(source, (size,))

        self.submit(call, run)

    def cast(self, y: Buffer, x: Buffer, n: int) -> None:
        call = Call("cast")
        call.dims(n=n)
        call.nothing = n == 0
        to = call.out("y", y, dense(n), (*FLOATS, *I32, *I64))
        source = call.into("x", x, dense(n), FLOATS if to.dtype.is_float else (*I32, *I64))

        def run() -> None:
            if to.dtype.is_float:
                store(to, load(source, (n,)))
                return
            values = window(source, (n,))
            good = (values >= _I32_RANGE[0]) & (values < _I32_RANGE[1])
            if to.dtype is DType.I64 or self.all_good(call.op, "x", values, good, "which i32 does not hold"):
                window(to, (n,))[...] = values

        self.submit(call, run)

    def pack(self, y: Buffer, x: Buffer, transpose: bool, rows: int, cols: int, ldy: int, ldx: int) -> None:
        call = Call("pack")
        call.dims(rows=rows, cols=cols, ldy=ldy, ldx=ldx)
        call.nothing = 0 in (rows, cols)
        transpose = call.flag("transpose", transpose)
        to = call.out("y", y, call.matrix(rows, cols, "ldy", ldy), UNQUANTIZED)
        extent = call.matrix(cols, rows, "ldx", ldx) if transpose else call.matrix(rows, cols, "ldx", ldx)
        source = call.into("x", x, extent, UNQUANTIZED)
        call.same_dtype("x", source, "y", to)

        def run() -> None:
            part = window(source, (rows, cols), (1, ldx) if transpose else (ldx, 1))
            window(to, (rows, cols), (ldy, 1))[...] = part

        self.submit(call, run)

    def quantize(self, y: Buffer, x: Buffer, n: int) -> None:
        call = self._blocks("quantize", n)
        to = call.out("y", y, dense(n), QUANTIZED)
        source = call.into("x", x, dense(n), FLOATS)

        def run() -> None:
            x = load(source, (n // QUANT_BLOCK, QUANT_BLOCK))
            levels = 127 if to.dtype is DType.Q8 else 8
            bad = np.flatnonzero(~np.isfinite((np.abs(x).max(axis=1) / np.float32(levels)).astype(np.float16)))
            if bad.size:
                at, most = int(bad[0]) * QUANT_BLOCK, 65504 * levels
                begins = "begins a block without a finite f16 scale"
                self.report(f"quantize: x[{at}] {begins}, expected magnitudes of at most {most}")
                return
            blocks = quantized(x, to.dtype)
            window(to, (blocks.size,))[...] = blocks.ravel()

        self.submit(call, run)

    def dequantize(self, y: Buffer, x: Buffer, n: int) -> None:
        call = self._blocks("dequantize", n)
        to = call.out("y", y, dense(n), FLOATS)
        source = call.into("x", x, dense(n), QUANTIZED)

        def run() -> None:
            blocks = window(source, (source.dtype.storage_count(n),)).reshape(n // QUANT_BLOCK, -1)
            store(to, dequantized(blocks, source.dtype).ravel())

        self.submit(call, run)

    def _blocks(self, op: str, n: int) -> Call:
        call = Call(op)
        call.dims(n=n)
        call.nothing = n == 0
        _check_blocks(call, n)
        return call
