"""Matrix products: one, a batch, and grouped by offsets that live in a buffer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import DType
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import FLOATS, I32, Call, Extent, dense
from nn.tensor.reference.memory import FloatArray, ReferenceBuffer, load, rounded, store, window

_WIDTH = {DType.F32: 3, DType.F16: 2, DType.BF16: 1}
"""Orders the float dtypes by their significant bits."""


def both_narrow(a: ReferenceBuffer, b: ReferenceBuffer) -> DType:
    """Operands of different dtypes are both read as the narrower one."""
    return min(a.dtype, b.dtype, key=_WIDTH.__getitem__)


def batch_extent(batch: int, stride: int, one: Extent) -> Extent:
    """batch matrices, stride elements apart."""
    if not batch or not one.total:
        return Extent(0, (batch, *one.dims), (stride, *one.strides))
    total = (batch - 1) * stride + one.total
    overlap = batch > 1 and stride < one.total
    return Extent(total, (batch, *one.dims), (stride, *one.strides), self_overlap=overlap)


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
        self._gemm(call, c, a, b, trans_a, trans_b, 1, m, n, k, ldc, lda, ldb, 0, 0, 0, alpha, beta)

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
        call.dims(batch=batch)
        for name, stride in (("stride_c", stride_c), ("stride_a", stride_a), ("stride_b", stride_b)):
            call.at_least(name, stride, 0)
        self._gemm(
            call, c, a, b, trans_a, trans_b, batch, m, n, k, ldc, lda, ldb, stride_c, stride_a, stride_b, alpha, beta
        )

    def _gemm(
        self,
        call: Call,
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
        call.dims(m=m, n=n, k=k)
        call.nothing = 0 in (batch, m, n)
        single = call.op == "gemm"
        c_one = call.matrix(m, n, "ldc", ldc)
        a_one = call.matrix(k, m, "lda", lda) if trans_a else call.matrix(m, k, "lda", lda)
        b_one = call.matrix(n, k, "ldb", ldb) if trans_b else call.matrix(k, n, "ldb", ldb)
        to = call.out("c", c, c_one if single else batch_extent(batch, stride_c, c_one), FLOATS)
        left = call.into("a", a, a_one if single else batch_extent(batch, stride_a, a_one), FLOATS)
        right = call.into("b", b, b_one if single else batch_extent(batch, stride_b, b_one), FLOATS)
        factor, keep = call.real32("alpha", alpha), call.real32("beta", beta)

        def run() -> None:
            dtype = both_narrow(left, right)
            a_strides = (stride_a, 1, lda) if trans_a else (stride_a, lda, 1)
            b_strides = (stride_b, 1, ldb) if trans_b else (stride_b, ldb, 1)
            c_strides = (stride_c, ldc, 1)
            product = (factor * rounded(load(left, (batch, m, k), a_strides), dtype)) @ rounded(
                load(right, (batch, k, n), b_strides), dtype
            )
            if keep != 0:
                product += keep * load(to, (batch, m, n), c_strides)
            store(to, product, c_strides)

        self.submit(call, run)

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
        call.dims(groups=groups, m=m, n=n, k=k, a_row_count=a_row_count)
        call.fits_i32("m", m)
        call.at_least("stride_b", stride_b, 0)
        call.nothing = 0 in (groups, m, n)
        to = call.out("c", c, call.matrix(m, n, "ldc", ldc), FLOATS)
        left_rows = m if a_rows is None else a_row_count
        left = call.into("a", a, call.matrix(left_rows, k, "lda", lda), FLOATS)
        one = call.matrix(n, k, "ldb", ldb) if trans_b else call.matrix(k, n, "ldb", ldb)
        right = call.into("b", b, batch_extent(groups, stride_b, one), FLOATS)
        bounds = call.into("offsets", offsets, dense(groups + 1), I32)
        gather = call.into_or_none("a_rows", a_rows, dense(m), I32)
        keep = call.real32("beta", beta)

        def run() -> None:
            ends = self._offsets(call.op, bounds, groups, m)
            used = None if gather is None or ends is None else window(gather, (m,))[: ends[-1]]
            if ends is None or (used is not None and not self.good(call.op, "a_rows", used, a_row_count)):
                return
            dtype = both_narrow(left, right)
            rows = rounded(load(left, (left_rows, k), (lda, 1)), dtype)
            weights = rounded(load(right, (groups, k, n), (stride_b, 1, ldb) if trans_b else (stride_b, ldb, 1)), dtype)
            out = load(to, (m, n), (ldc, 1)).copy()
            for g, (begin, end) in enumerate(pairwise(ends)):
                group = rows[begin:end] if used is None else rows[used[begin:end]]
                product = group @ weights[g]
                out[begin:end] = product + keep * out[begin:end] if keep != 0 else product
            store(to, out[: ends[-1]], (ldc, 1))

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
        call.dims(groups=groups, m=m, n=n, k=k, b_row_count=b_row_count)
        call.fits_i32("k", k)
        call.at_least("stride_c", stride_c, 0)
        call.nothing = 0 in (groups, m, n)
        to = call.out("c", c, batch_extent(groups, stride_c, call.matrix(m, n, "ldc", ldc)), FLOATS)
        left = call.into("a", a, call.matrix(k, m, "lda", lda), FLOATS)
        right_rows = k if b_rows is None else b_row_count
        right = call.into("b", b, call.matrix(right_rows, n, "ldb", ldb), FLOATS)
        bounds = call.into("offsets", offsets, dense(groups + 1), I32)
        gather = call.into_or_none("b_rows", b_rows, dense(k), I32)
        keep = call.real32("beta", beta)

        def run() -> None:
            ends = self._offsets(call.op, bounds, groups, k)
            used = None if gather is None or ends is None else window(gather, (k,))[: ends[-1]]
            if ends is None or (used is not None and not self.good(call.op, "b_rows", used, b_row_count)):
                return
            dtype = both_narrow(left, right)
            lefts = rounded(load(left, (k, m), (lda, 1)), dtype)
            rights = rounded(load(right, (right_rows, n), (ldb, 1)), dtype)
            out: FloatArray = np.empty((groups, m, n), np.float32)
            for g, (begin, end) in enumerate(pairwise(ends)):
                out[g] = lefts[begin:end].T @ (rights[begin:end] if used is None else rights[used[begin:end]])
            strides = (stride_c, ldc, 1)
            store(to, out + keep * load(to, (groups, m, n), strides) if keep != 0 else out, strides)

        self.submit(call, run)

    def _offsets(self, op: str, bounds: ReferenceBuffer, groups: int, most: int) -> list[int] | None:
        """The group boundaries, or None when they do not ascend from 0 to at most `most`."""
        values = window(bounds, (groups + 1,))
        ascending = np.diff(values, prepend=0) >= 0
        ascending[0] = values[0] == 0
        good = ascending & (values <= most)
        else_ = f"expected offsets that ascend from 0 to at most {most}"
        return [int(value) for value in values] if self.all_good(op, "offsets", values, good, else_) else None
