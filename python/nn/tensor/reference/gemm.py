"""Matrix products: one, a batch, and grouped by offsets that live in a buffer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import QUANT_BLOCK, Array, DType
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import FLOATS, I32, QUANTIZED, Call, dense
from nn.tensor.reference.conversion import dequantized
from nn.tensor.reference.memory import FloatArray, ReferenceBuffer, load, rounded, store, strided_window, window

_WIDTH = {DType.F32: 3, DType.Q8: 3, DType.Q4: 3, DType.F16: 2, DType.BF16: 1}
"""Orders the dtypes of operands by their significant bits; what comes out of blocks is f32."""


def narrower(a: ReferenceBuffer, b: ReferenceBuffer) -> DType:
    """Operands of different dtypes are both read as the narrower one."""
    dtype = min(a.dtype, b.dtype, key=_WIDTH.__getitem__)
    return DType.F32 if dtype.is_quantized else dtype


Strides = tuple[int, int, int]


def dtypes_of_b(trans_b: bool) -> tuple[DType, ...]:
    """Blocks lie along k, so B may consist of them where its rows do."""
    return (*FLOATS, *QUANTIZED) if trans_b else FLOATS


def check_blocks(call: Call, b: ReferenceBuffer, **along_k: int) -> None:
    if b.dtype.is_quantized:
        for name, value in along_k.items():
            text = f"{name} is {value}, expected a multiple of {QUANT_BLOCK} (a block of q8 or q4)"
            call.require(value % QUANT_BLOCK == 0, text)


def load_b(b: ReferenceBuffer, shape: tuple[int, ...], strides: tuple[int, ...]) -> FloatArray:
    """The window's values as f32; blocks are dequantized first."""
    if not b.dtype.is_quantized:
        return load(b, shape, strides)
    blocks = b.data.reshape(-1, b.dtype.storage_count(QUANT_BLOCK))
    return strided_window(dequantized(blocks, b.dtype).ravel(), shape, strides)


def _product(
    to: ReferenceBuffer,
    left: ReferenceBuffer,
    right: ReferenceBuffer,
    shape: tuple[int, int, int, int],
    c_strides: Strides,
    a_strides: Strides,
    b_strides: Strides,
    alpha: np.float32,
    beta: np.float32,
) -> None:
    """C = alpha A B + beta C for each of batch problems; C is not read when beta is 0."""
    batch, m, n, k = shape
    dtype = narrower(left, right)
    a = rounded(load(left, (batch, m, k), a_strides), dtype)
    b = rounded(load_b(right, (batch, k, n), b_strides), dtype)
    product = (alpha * a) @ b
    if beta != 0:
        product += beta * load(to, (batch, m, n), c_strides)
    store(to, product, c_strides)


def grouped_product(
    rows: FloatArray, weights: FloatArray, ends: Sequence[int], gather: Array | None = None
) -> FloatArray:
    """[ends[-1], n]: row r of group g, or the one gathered for it, times weights[g] [k, n]."""
    chosen = rows if gather is None else rows[gather]
    product: FloatArray = np.concatenate([chosen[b:e] @ weights[g] for g, (b, e) in enumerate(pairwise(ends))])
    return product


class Gemm(Base):
    def gemm(
        self,
        c: Buffer,
        a: Buffer,
        b: Buffer,
        trans_a: bool,
        trans_b: bool,
        m: int,
        n: int,
        k: int,
        ldc: int,
        lda: int,
        ldb: int,
        alpha: float,
        beta: float,
    ) -> None:
        call = Call("gemm")
        call.dims(m=m, n=n, k=k, ldc=ldc, lda=lda, ldb=ldb)
        ta, tb = call.flag("trans_a", trans_a), call.flag("trans_b", trans_b)
        call.nothing = 0 in (m, n)
        c_extent = call.matrix(m, n, "ldc", ldc)
        a_extent = call.matrix(k if ta else m, m if ta else k, "lda", lda)
        b_extent = call.matrix(n if tb else k, k if tb else n, "ldb", ldb)
        to = call.out("c", c, c_extent, FLOATS)
        left, right = call.into("a", a, a_extent, FLOATS), call.into("b", b, b_extent, dtypes_of_b(tb))
        check_blocks(call, right, k=k, ldb=ldb)
        factor, keep = call.real32("alpha", alpha), call.real32("beta", beta)
        shape, c_strides = (1, m, n, k), (0, ldc, 1)
        a_strides = (0, 1, lda) if ta else (0, lda, 1)
        b_strides = (0, 1, ldb) if tb else (0, ldb, 1)
        self.submit(call, lambda: _product(to, left, right, shape, c_strides, a_strides, b_strides, factor, keep))

    def gemm_batched(
        self,
        c: Buffer,
        a: Buffer,
        b: Buffer,
        trans_a: bool,
        trans_b: bool,
        batch: int,
        m: int,
        n: int,
        k: int,
        ldc: int,
        lda: int,
        ldb: int,
        stride_c: int,
        stride_a: int,
        stride_b: int,
        alpha: float,
        beta: float,
    ) -> None:
        call = Call("gemm_batched")
        call.dims(batch=batch, m=m, n=n, k=k, ldc=ldc, lda=lda, ldb=ldb)
        call.dims(stride_c=stride_c, stride_a=stride_a, stride_b=stride_b)
        ta, tb = call.flag("trans_a", trans_a), call.flag("trans_b", trans_b)
        call.nothing = 0 in (batch, m, n)
        c_extent = call.repeated(batch, "stride_c", stride_c, m, n, "ldc", ldc)
        a_extent = call.repeated(batch, "stride_a", stride_a, k if ta else m, m if ta else k, "lda", lda)
        b_extent = call.repeated(batch, "stride_b", stride_b, n if tb else k, k if tb else n, "ldb", ldb)
        to = call.out("c", c, c_extent, FLOATS)
        left, right = call.into("a", a, a_extent, FLOATS), call.into("b", b, b_extent, dtypes_of_b(tb))
        check_blocks(call, right, k=k, ldb=ldb, stride_b=stride_b)
        factor, keep = call.real32("alpha", alpha), call.real32("beta", beta)
        shape, c_strides = (batch, m, n, k), (stride_c, ldc, 1)
        a_strides = (stride_a, 1, lda) if ta else (stride_a, lda, 1)
        b_strides = (stride_b, 1, ldb) if tb else (stride_b, ldb, 1)
        self.submit(call, lambda: _product(to, left, right, shape, c_strides, a_strides, b_strides, factor, keep))

    def gemm_grouped_rows(
        self,
        c: Buffer,
        a: Buffer,
        b: Buffer,
        offsets: Buffer,
        a_rows: Buffer | None,
        trans_b: bool,
        groups: int,
        m: int,
        n: int,
        k: int,
        a_row_count: int,
        ldc: int,
        lda: int,
        ldb: int,
        stride_b: int,
        beta: float,
    ) -> None:
        call = Call("gemm_grouped_rows")
        call.dims(groups=groups, m=m, n=n, k=k, a_row_count=a_row_count, ldc=ldc, lda=lda, ldb=ldb, stride_b=stride_b)
        tb = call.flag("trans_b", trans_b)
        call.nothing = 0 in (groups, m, n)
        call.fits_i32("groups", groups)
        call.fits_i32("m", m)
        to = call.out("c", c, call.matrix(m, n, "ldc", ldc), FLOATS)
        left_rows = m if a_rows is None else a_row_count
        left = call.into("a", a, call.matrix(left_rows, k, "lda", lda), FLOATS)
        b_extent = call.repeated(groups, "stride_b", stride_b, n if tb else k, k if tb else n, "ldb", ldb)
        right = call.into("b", b, b_extent, dtypes_of_b(tb))
        check_blocks(call, right, k=k, ldb=ldb, stride_b=stride_b)
        bounds = call.into("offsets", offsets, dense(groups + 1), I32)
        gather = call.into_or_none("a_rows", a_rows, dense(m), I32)
        keep = call.real32("beta", beta)

        def run() -> None:
            ends = self.offsets(call.op, bounds, groups, m)
            used = None if gather is None or ends is None else window(gather, (m,))[: ends[-1]]
            if ends is None or (used is not None and not self.good(call.op, "a_rows", used, a_row_count)):
                return
            dtype = narrower(left, right)
            rows = rounded(load(left, (left_rows, k), (lda, 1)), dtype)
            weights = rounded(load_b(right, (groups, k, n), (stride_b, 1, ldb) if tb else (stride_b, ldb, 1)), dtype)
            product = grouped_product(rows, weights, ends, used)
            if keep != 0:
                product += keep * load(to, (ends[-1], n), (ldc, 1))
            store(to, product, (ldc, 1))

        self.submit(call, run)

    def gemm_grouped_inner(
        self,
        c: Buffer,
        a: Buffer,
        b: Buffer,
        offsets: Buffer,
        b_rows: Buffer | None,
        groups: int,
        m: int,
        n: int,
        k: int,
        b_row_count: int,
        ldc: int,
        lda: int,
        ldb: int,
        stride_c: int,
        beta: float,
    ) -> None:
        call = Call("gemm_grouped_inner")
        call.dims(groups=groups, m=m, n=n, k=k, b_row_count=b_row_count, ldc=ldc, lda=lda, ldb=ldb, stride_c=stride_c)
        call.nothing = 0 in (groups, m, n)
        call.fits_i32("groups", groups)
        call.fits_i32("k", k)
        to = call.out("c", c, call.repeated(groups, "stride_c", stride_c, m, n, "ldc", ldc), FLOATS)
        left = call.into("a", a, call.matrix(k, m, "lda", lda), FLOATS)
        right_rows = k if b_rows is None else b_row_count
        right = call.into("b", b, call.matrix(right_rows, n, "ldb", ldb), FLOATS)
        bounds = call.into("offsets", offsets, dense(groups + 1), I32)
        gather = call.into_or_none("b_rows", b_rows, dense(k), I32)
        keep = call.real32("beta", beta)

        def run() -> None:
            ends = self.offsets(call.op, bounds, groups, k)
            used = None if gather is None or ends is None else window(gather, (k,))[: ends[-1]]
            if ends is None or (used is not None and not self.good(call.op, "b_rows", used, b_row_count)):
                return
            dtype = narrower(left, right)
            lefts = rounded(load(left, (k, m), (lda, 1)), dtype)
            rights = rounded(load(right, (right_rows, n), (ldb, 1)), dtype)
            out: FloatArray = np.empty((groups, m, n), np.float32)
            for g, (begin, end) in enumerate(pairwise(ends)):
                out[g] = lefts[begin:end].T @ (rights[begin:end] if used is None else rights[used[begin:end]])
            strides = (stride_c, ldc, 1)
            store(to, out + keep * load(to, (groups, m, n), strides) if keep != 0 else out, strides)

        self.submit(call, run)

    def offsets(self, op: str, bounds: ReferenceBuffer, groups: int, most: int) -> list[int] | None:
        """The group boundaries, or None when they do not ascend from 0 to at most `most`."""
        values = [int(value) for value in window(bounds, (groups + 1,))]
        for g, value in enumerate(values):
            least, limit = (0, 0) if g == 0 else (values[g - 1], most)
            if not least <= value <= limit:
                expected = f"expected offsets that ascend from 0 to at most {limit}"
                self.report(f"{op}: offsets[{g}] is {value}, {expected}")
                return None
        return values
