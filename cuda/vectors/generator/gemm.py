"""gemm, batched, grouped by rows, grouped by the inner dimension. The vectors of a product are those of its gradients:
dA = dC op(B)^T and dB = op(A)^T dC are gemms of other transposes."""

from __future__ import annotations

import math

import numpy as np

from .case import Bound, Case, In, Out, bound, case, strided, terms
from .convert import BLOCK, BLOCK_BYTES, dequantize, quantize
from .numbers import FLOATS, Array, Inputs, IntArray, round_to

GAP = -3.0  # what stands between the rows of an output, before and after


def narrow(a: Array, b: Array, a_dtype: str, b_dtype: str) -> tuple[Array, Array]:
    """Operands of different dtypes are both read as the narrower one; what comes out of blocks is f32."""
    b_dtype = "f32" if b_dtype in BLOCK_BYTES else b_dtype
    if a_dtype == b_dtype:
        return a, b
    dtype = a_dtype if FLOATS[a_dtype].precision < FLOATS[b_dtype].precision else b_dtype
    return round_to(a, dtype), round_to(b, dtype)


def matrix_b(make: Inputs, shape: tuple[int, ...], dtype: str, trans_b: int, gap: int) -> tuple[Array, In]:
    """B [..., k, n] and how it is stored: [..., n, k] with trans_b, rows gap apart; quantized by rows. What stands in
    the gap is NaN."""
    *batch, k, n = shape
    b = make.floats(shape, "f32" if dtype in BLOCK_BYTES else dtype)
    stored = np.ascontiguousarray(b.swapaxes(-1, -2) if trans_b else b)
    cols = stored.shape[-1]
    rows = stored.reshape(math.prod(stored.shape[:-1]), cols)
    if dtype not in BLOCK_BYTES:
        return b, In(strided(rows, cols + gap, np.nan), dtype)
    size, blocks = BLOCK_BYTES[dtype], cols // BLOCK
    packed = quantize(rows.reshape(-1), dtype).reshape(len(rows), blocks * size)
    values = dequantize(packed.reshape(-1), dtype).reshape(*batch, n, k).swapaxes(-1, -2)
    trap = np.full((len(rows), gap // BLOCK * size), 0x7F, np.uint8)  # levels 127, the scale NaN
    data = np.concatenate([packed, trap], axis=1).reshape(-1)
    return values, In(data, dtype, count=len(rows) * (cols + gap))


def product(op: str, a: Array, b: Array, c: Array, alpha: float, beta: float) -> tuple[Array, Array]:
    """alpha a b + beta c, and the sum of magnitudes."""
    t = terms(op)
    new = t("product", alpha * (a @ b))
    magnitude = abs(alpha) * (np.abs(a) @ np.abs(b))
    if beta == 0.0:
        return new, magnitude
    return new + t("previous", beta * c), magnitude + np.abs(beta * c)


def product_bound(k: int, magnitude: Array, alpha: float, beta: float) -> Bound:
    """k fused multiply-adds; alpha rounds each a once more, beta c is one more term."""
    return bound(1.0 if alpha == 1.0 else 1.5, max(k, 1) + (beta != 0.0), magnitude)


def _unread(beta: float) -> set[str]:
    """With beta 0 the old C is no term of the formula."""
    return set() if beta != 0.0 else {"previous"}


def _output(want: Array, limit: Bound, dtype: str, c: Array, beta: float, ld: int) -> Out:
    """C with its gaps; its old contents are NaN where they must not be read."""
    limit = limit.stored_as(dtype, want)
    old = c if beta != 0.0 else np.full_like(c, np.nan)
    return Out(
        strided(want, ld, GAP), Bound(strided(limit.array, ld, 0.0), limit.parts), dtype, initial=strided(old, ld, GAP)
    )


def _gemm_cases() -> list[Case]:
    out: list[Case] = []
    f32 = ("f32", "f32", "f32")
    cases: list[tuple[str, int, int, int, int, int, float, float, int, tuple[str, str, str]]] = [
        ("5x7x3", 5, 7, 3, 0, 0, 1.0, 0.0, 0, f32),
        ("5x7x3_ta", 5, 7, 3, 1, 0, 1.0, 0.0, 0, f32),
        ("5x7x3_tb", 5, 7, 3, 0, 1, 1.0, 0.0, 0, f32),
        ("5x7x3_ta_tb", 5, 7, 3, 1, 1, 1.0, 0.0, 0, f32),
        ("1x1x1", 1, 1, 1, 0, 0, 1.0, 0.0, 0, f32),
        ("1x33x65", 1, 33, 65, 0, 0, 1.0, 0.0, 0, f32),
        ("1x33x65_tb", 1, 33, 65, 0, 1, 1.0, 1.0, 0, f32),
        ("33x1x17", 33, 1, 17, 0, 0, 1.0, 0.0, 0, f32),
        ("17x19x65_ld_beta", 17, 19, 65, 0, 1, 1.0, 1.0, 3, f32),
        ("17x19x33_ld_ta", 17, 19, 33, 1, 0, 1.0, -0.5, 2, f32),
        ("9x35x17_alpha", 9, 35, 17, 0, 0, 0.7, 0.3, 1, f32),
        ("15x33x390", 15, 33, 390, 0, 1, 1.0, 1.0, 0, f32),
        ("1x9x1030_tb", 1, 9, 1030, 0, 1, 1.0, 0.0, 0, ("f32", "f32", "bf16")),
        ("7x16x40_bf16", 7, 16, 40, 0, 1, 1.0, 0.0, 0, ("f32", "bf16", "bf16")),
        ("7x17x33_bf16_out", 7, 17, 33, 0, 1, 1.0, 0.0, 1, ("bf16", "bf16", "bf16")),
        ("1x17x33_mixed", 1, 17, 33, 0, 1, 1.0, 1.0, 0, ("f32", "f32", "bf16")),
        ("5x17x33_mixed_ta", 5, 17, 33, 1, 0, 0.5, 1.0, 0, ("f32", "bf16", "f32")),
        ("6x15x21_f16", 6, 15, 21, 0, 0, 1.0, 0.0, 0, ("f16", "f16", "f16")),
        ("7x16x40_f16", 7, 16, 40, 0, 1, 1.0, 0.0, 0, ("f32", "f16", "f16")),
        # What a 16-bit model hands over: an f32 operand of any layout, and one whose lines tensor cores can read.
        ("7x16x43_mixed", 7, 16, 43, 0, 0, 1.0, 1.0, 0, ("f32", "f32", "bf16")),
        ("9x17x40_mixed_tb", 9, 17, 40, 0, 1, 1.0, 0.0, 0, ("f32", "f32", "bf16")),
        ("9x16x21_mixed_ta", 9, 16, 21, 1, 0, 1.0, 0.0, 0, ("f32", "f32", "f16")),
        ("16x19x37_mixed_b", 16, 19, 37, 1, 0, 1.0, 0.0, 0, ("f32", "bf16", "f32")),
    ]
    for dtype in ("q8", "q4"):
        cases += [
            # One block, an odd number of them, more rows than are streamed, a gap between rows, every other operand.
            (f"1x1x32_{dtype}", 1, 1, 32, 0, 1, 1.0, 0.0, 0, ("f32", "f32", dtype)),
            (f"1x35x96_{dtype}", 1, 35, 96, 0, 1, 1.0, 0.0, 0, ("f32", "f32", dtype)),
            (f"3x17x160_{dtype}_ld", 3, 17, 160, 0, 1, 1.0, 1.0, 32, ("f32", "f32", dtype)),
            (f"19x33x416_{dtype}", 19, 33, 416, 0, 1, 1.0, 0.0, 0, ("f32", "f32", dtype)),
            (f"5x18x64_{dtype}_ta", 5, 18, 64, 1, 1, 0.7, -0.5, 0, ("f32", "f32", dtype)),
            (f"2x16x64_{dtype}_bf16", 2, 16, 64, 0, 1, 1.0, 0.0, 0, ("bf16", "bf16", dtype)),
        ]
    for name, m, n, k, trans_a, trans_b, alpha, beta, pad, dtypes in cases:
        make = Inputs(f"gemm {name}")
        c_dtype, a_dtype, b_dtype = dtypes
        gap = pad if b_dtype in BLOCK_BYTES else 2 * pad
        a = make.floats((m, k), a_dtype)
        b, given_b = matrix_b(make, (k, n), b_dtype, trans_b, gap)
        c = make.floats((m, n), c_dtype)
        want, magnitude = product("gemm", *narrow(a, b, a_dtype, b_dtype), c, alpha, beta)
        stored_a = a.T if trans_a else a
        lda, ldb, ldc = stored_a.shape[1] + pad, (k if trans_b else n) + gap, n + pad
        out.append(
            case(
                name,
                "gemm",
                _unread(beta),
                c=_output(want, product_bound(k, magnitude, alpha, beta), c_dtype, c, beta, ldc),
                a=In(strided(stored_a, lda, np.nan), a_dtype),
                b=given_b,
                trans_a=trans_a,
                trans_b=trans_b,
                m=m,
                n=n,
                k=k,
                ldc=ldc,
                lda=lda,
                ldb=ldb,
                alpha=alpha,
                beta=beta,
            )
        )
    return out


def _batched_cases() -> list[Case]:
    out: list[Case] = []
    for name, batch, m, n, k, trans_a, trans_b, shared, a_dtype, dtype in (
        ("3x4x5x6", 3, 4, 5, 6, 0, 0, False, "f32", "f32"),
        ("2x3x17x9_shared_b", 2, 3, 17, 9, 0, 1, True, "f32", "f32"),
        ("2x5x4x7_ta_bf16", 2, 5, 4, 7, 1, 0, False, "bf16", "bf16"),
        ("2x3x9x64_q8", 2, 3, 9, 64, 0, 1, False, "f32", "q8"),
        ("3x2x5x32_q4_shared_b", 3, 2, 5, 32, 0, 1, True, "f32", "q4"),
        ("3x5x9x24_mixed", 3, 5, 9, 24, 0, 1, False, "f32", "bf16"),
        ("3x8x9x7_mixed_shared_b", 3, 8, 9, 7, 1, 0, True, "bf16", "f32"),
    ):
        make = Inputs(f"gemm_batched {name}")
        alpha, beta = 1.0, 0.5
        a = make.floats((batch, m, k), a_dtype)
        b, given_b = matrix_b(make, (1 if shared else batch, k, n), dtype, trans_b, 0)
        c = make.floats((batch, m, n))
        want, magnitude = product("gemm_batched", *narrow(a, b, a_dtype, dtype), c, alpha, beta)
        stored_a = a.swapaxes(1, 2) if trans_a else a
        limit = product_bound(k, magnitude, alpha, beta)
        # Two elements between the problems of C must keep their value.
        stride_c = m * n + 2
        gap = Bound(strided(limit.array.reshape(batch, -1), stride_c, 0.0), limit.parts)
        out.append(
            case(
                name,
                "gemm_batched",
                c=Out(
                    strided(want.reshape(batch, -1), stride_c, GAP),
                    gap,
                    initial=strided(c.reshape(batch, -1), stride_c, GAP),
                ),
                a=In(np.ascontiguousarray(stored_a), a_dtype),
                b=given_b,
                trans_a=trans_a,
                trans_b=trans_b,
                batch=batch,
                m=m,
                n=n,
                k=k,
                ldc=n,
                lda=stored_a.shape[2],
                ldb=k if trans_b else n,
                stride_c=stride_c,
                stride_a=m * k,
                stride_b=0 if shared else k * n,
                alpha=alpha,
                beta=beta,
            )
        )
    return out


def _grouped_rows_cases() -> list[Case]:
    out: list[Case] = []
    for name, sizes, spare, n, k, gather, trans_b, beta, dtypes in (
        ("even", [3, 3], 0, 5, 4, False, 0, 0.0, ("f32", "f32", "f32")),
        ("empty_experts", [0, 5, 0, 1, 7, 0], 3, 9, 17, True, 1, 0.0, ("f32", "f32", "f32")),
        ("one_has_all", [0, 0, 20], 0, 6, 8, True, 1, 1.0, ("f32", "f32", "f32")),
        ("bf16", [2, 0, 9], 1, 16, 33, True, 1, 0.0, ("bf16", "f32", "bf16")),
        ("mixed", [2, 0, 9], 1, 17, 40, True, 1, 1.0, ("f32", "f32", "bf16")),
        ("q8", [1, 0, 7, 2], 1, 18, 96, True, 1, 0.0, ("f32", "f32", "q8")),
        ("q4", [2, 0, 6], 0, 17, 64, True, 1, 1.0, ("f32", "f32", "q4")),
    ):
        make = Inputs(f"gemm_grouped_rows {name}")
        c_dtype, a_dtype, b_dtype = dtypes
        groups, rows = len(sizes), sum(sizes)
        m = rows + spare
        a_row_count = rows // 2 + 1 if gather else m
        a = make.floats((a_row_count, k), a_dtype)
        b, given_b = matrix_b(make, (groups, k, n), b_dtype, trans_b, 0)
        c = make.floats((m, n), c_dtype)
        # Spare entries of a_rows are never read: they would be out of range.
        a_rows: IntArray = np.where(np.arange(m) < rows, make.integers(m, 0, a_row_count), -7)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        chosen = a[a_rows[:rows]] if gather else a[:rows]
        want, magnitude = np.zeros((rows, n)), np.zeros((rows, n))
        for g in range(groups):
            span = slice(offsets[g], offsets[g + 1])
            operands = narrow(chosen[span], b[g], a_dtype, b_dtype)
            want[span], magnitude[span] = product("gemm_grouped_rows", *operands, c[span], 1.0, beta)
        ldc = n + 1
        limit = product_bound(k, magnitude, 1.0, beta).stored_as(c_dtype, want)
        old = c.copy()
        if beta == 0.0:
            old[:rows] = np.nan
        full, full_limit = c.copy(), np.zeros((m, n))
        full[:rows], full_limit[:rows] = want, limit.array
        out.append(
            case(
                name,
                "gemm_grouped_rows",
                _unread(beta),
                c=Out(
                    strided(full, ldc, GAP),
                    Bound(strided(full_limit, ldc, 0.0), limit.parts),
                    c_dtype,
                    initial=strided(old, ldc, GAP),
                ),
                a=In(a, a_dtype),
                b=given_b,
                offsets=In(offsets, "i32"),
                a_rows=In(a_rows, "i32") if gather else None,
                trans_b=trans_b,
                groups=groups,
                m=m,
                n=n,
                k=k,
                a_row_count=a_row_count,
                ldc=ldc,
                lda=k,
                ldb=k if trans_b else n,
                stride_b=k * n,
                beta=beta,
            )
        )
    return out


def _grouped_inner_cases() -> list[Case]:
    out: list[Case] = []
    for name, sizes, spare, m, n, gather, beta, dtypes in (
        ("even", [4, 4], 0, 3, 5, False, 0.0, ("f32", "f32", "f32")),
        ("empty_experts", [0, 6, 0, 1, 9], 2, 7, 9, True, 0.0, ("f32", "f32", "f32")),
        ("accumulate", [0, 17, 3], 1, 5, 17, True, 1.0, ("f32", "f32", "f32")),
        ("bf16", [5, 0, 8], 0, 6, 16, False, 1.0, ("f32", "bf16", "bf16")),
        ("mixed", [5, 0, 8], 1, 8, 17, True, 1.0, ("f32", "bf16", "f32")),
    ):
        make = Inputs(f"gemm_grouped_inner {name}")
        c_dtype, a_dtype, b_dtype = dtypes
        groups, rows = len(sizes), sum(sizes)
        k = rows + spare
        b_row_count = rows // 2 + 1 if gather else k
        a, b = make.floats((k, m), a_dtype), make.floats((b_row_count, n), b_dtype)
        a[rows:] = np.nan
        c = make.floats((groups, m, n), c_dtype)
        b_rows: IntArray = np.where(np.arange(k) < rows, make.integers(k, 0, b_row_count), -7)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        chosen = b[b_rows[:rows]] if gather else b[:rows]
        want, limits = np.zeros((groups, m, n)), np.zeros((groups, m, n))
        limit = bound(1, 1, np.zeros((m, n)))
        for g, size in enumerate(sizes):
            span = slice(offsets[g], offsets[g + 1])
            operands = narrow(a[span].T, chosen[span], a_dtype, b_dtype)
            want[g], magnitude = product("gemm_grouped_inner", *operands, c[g], 1.0, beta)
            part = product_bound(size, magnitude, 1.0, beta)
            limits[g] = part.array
            limit = part if size == max(sizes) else limit
        ldc, stride_c = n + 1, m * (n + 1) + 3
        padded = np.stack([strided(x, ldc, GAP) for x in want])
        old = np.stack([strided(x if beta else np.full_like(x, np.nan), ldc, GAP) for x in c])
        padded_limits = np.stack([strided(x, ldc, 0.0) for x in limits])
        out.append(
            case(
                name,
                "gemm_grouped_inner",
                _unread(beta),
                c=Out(
                    strided(padded, stride_c, GAP),
                    Bound(strided(padded_limits, stride_c, 0.0), limit.parts),
                    c_dtype,
                    initial=strided(old, stride_c, GAP),
                ),
                a=In(a, a_dtype),
                b=In(b, b_dtype),
                offsets=In(offsets, "i32"),
                b_rows=In(b_rows, "i32") if gather else None,
                groups=groups,
                m=m,
                n=n,
                k=k,
                b_row_count=b_row_count,
                ldc=ldc,
                lda=m,
                ldb=n,
                stride_c=stride_c,
                beta=beta,
            )
        )
    return out


def cases() -> list[Case]:
    return _gemm_cases() + _batched_cases() + _grouped_rows_cases() + _grouped_inner_cases()
