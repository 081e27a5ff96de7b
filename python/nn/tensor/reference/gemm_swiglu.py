"""The experts' grouped products with SwiGLU in their epilogue, and the gradient."""

from __future__ import annotations

from nn.tensor.buffer import Buffer
from nn.tensor.reference.call import FLOATS, I32, Call, dense
from nn.tensor.reference.elementwise import silu, silu_slope
from nn.tensor.reference.gemm import Gemm, check_blocks, dtypes_of_b, grouped_product, load_b, narrower
from nn.tensor.reference.memory import FloatArray, ReferenceBuffer, load, rounded, store, window


class GemmSwiGLU(Gemm):
    def gemm_grouped_swiglu_forward(
        self,
        y: Buffer,
        gate: Buffer | None,
        up: Buffer | None,
        a: Buffer,
        w_gate: Buffer,
        w_up: Buffer,
        offsets: Buffer,
        a_rows: Buffer | None,
        groups: int,
        m: int,
        n: int,
        k: int,
        a_row_count: int,
        ldc: int,
        lda: int,
        ldb: int,
        stride_b: int,
    ) -> None:
        call = Call("gemm_grouped_swiglu_forward")
        call.dims(groups=groups, m=m, n=n, k=k, a_row_count=a_row_count, ldc=ldc, lda=lda, ldb=ldb, stride_b=stride_b)
        call.nothing = 0 in (groups, m, n)
        call.fits_i32("groups", groups)
        call.fits_i32("m", m)
        result = call.matrix(m, n, "ldc", ldc)
        to = call.out("y", y, result, FLOATS)
        kept = None
        if gate is not None or up is not None:  # one of them alone serves nobody
            kept = call.out("gate", gate, result), call.out("up", up, result)
        left_rows = m if a_rows is None else a_row_count
        left = call.into("a", a, call.matrix(left_rows, k, "lda", lda), FLOATS)
        weights = call.repeated(groups, "stride_b", stride_b, n, k, "ldb", ldb)
        right_gate = call.into("w_gate", w_gate, weights, dtypes_of_b(True))
        right_up = call.into("w_up", w_up, weights, dtypes_of_b(True))
        call.same_dtype("w_up", right_up, "w_gate", right_gate)
        check_blocks(call, right_gate, k=k, ldb=ldb, stride_b=stride_b)
        bounds = call.into("offsets", offsets, dense(groups + 1), I32)
        gather = call.into_or_none("a_rows", a_rows, dense(m), I32)

        def run() -> None:
            ends = self.offsets(call.op, bounds, groups, m)
            used = None if gather is None or ends is None else window(gather, (m,))[: ends[-1]]
            if ends is None or (used is not None and not self.good(call.op, "a_rows", used, a_row_count)):
                return
            dtype = narrower(left, right_gate)
            rows = rounded(load(left, (left_rows, k), (lda, 1)), dtype)

            def product(right: ReferenceBuffer) -> FloatArray:
                transposed = rounded(load_b(right, (groups, k, n), (stride_b, 1, ldb)), dtype)
                return grouped_product(rows, transposed, ends, used)

            gates, ups = product(right_gate), product(right_up)
            store(to, silu(gates) * ups, (ldc, 1))
            if kept is not None:
                store(kept[0], gates, (ldc, 1))
                store(kept[1], ups, (ldc, 1))

        self.submit(call, run)

    def gemm_grouped_swiglu_backward(
        self,
        dgate: Buffer,
        dup: Buffer,
        a: Buffer,
        w_down: Buffer,
        offsets: Buffer,
        gate: Buffer,
        up: Buffer,
        groups: int,
        m: int,
        n: int,
        k: int,
        ldc: int,
        lda: int,
        ldb: int,
        stride_b: int,
    ) -> None:
        call = Call("gemm_grouped_swiglu_backward")
        call.dims(groups=groups, m=m, n=n, k=k, ldc=ldc, lda=lda, ldb=ldb, stride_b=stride_b)
        call.nothing = 0 in (groups, m, n)
        call.fits_i32("groups", groups)
        call.fits_i32("m", m)
        result = call.matrix(m, n, "ldc", ldc)
        to_gate, to_up = call.out("dgate", dgate, result), call.out("dup", dup, result)
        left = call.into("a", a, call.matrix(m, k, "lda", lda), FLOATS)
        weights = call.repeated(groups, "stride_b", stride_b, k, n, "ldb", ldb)
        right = call.into("w_down", w_down, weights, FLOATS)
        bounds = call.into("offsets", offsets, dense(groups + 1), I32)
        gates = call.into("gate", gate, result, alias=("dgate",))
        ups = call.into("up", up, result, alias=("dup",))

        def run() -> None:
            ends = self.offsets(call.op, bounds, groups, m)
            if ends is None:
                return
            dtype = narrower(left, right)
            rows = rounded(load(left, (m, k), (lda, 1)), dtype)
            stored = rounded(load_b(right, (groups, k, n), (stride_b, ldb, 1)), dtype)
            d = grouped_product(rows, stored, ends)
            g, u = (load(buffer, (ends[-1], n), (ldc, 1)) for buffer in (gates, ups))
            new_gate, new_up = d * u * silu_slope(g), d * silu(g)
            store(to_gate, new_gate, (ldc, 1))
            store(to_up, new_up, (ldc, 1))

        self.submit(call, run)
