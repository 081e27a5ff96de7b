"""The experts' grouped products with SwiGLU in their epilogue, and the gradient."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .case import EVERY_TERM, Bound, Case, GradientCheck, In, Out, bound, case, strided, terms
from .elementwise import sigmoid, silu, silu_bound, silu_slope, slope_bound
from .gemm import GAP, matrix_b, narrow, product_bound
from .numbers import Array, Inputs, IntArray

FORWARD, BACKWARD = "gemm_grouped_swiglu_forward", "gemm_grouped_swiglu_backward"


def offsets_of(sizes: list[int]) -> IntArray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def grouped(x: Array, w: Array, sizes: list[int], x_dtype: str, w_dtype: str) -> tuple[Array, Array]:
    """Row r of group g times w_g [k,n], and the sums of magnitudes."""
    parts = []
    for g, (begin, end) in enumerate(pairwise(offsets_of(sizes))):
        a, b = narrow(x[begin:end], w[g], x_dtype, w_dtype)
        parts.append((a @ b, np.abs(a) @ np.abs(b)))
    product, magnitude = (np.concatenate(each) for each in zip(*parts, strict=True))
    return product, magnitude


def slope(x: Array) -> Array:
    """silu'(x), for the bounds."""
    return sigmoid(x) + x * sigmoid(x) * sigmoid(-x)


def forward(p: Array, q: Array) -> tuple[Array, Array, Array]:
    t = terms(FORWARD)
    gate, up = t("gate", p), t("up", q)
    return silu(gate) * up, gate, up


def forward_bound(p: Array, q: Array, k: int, p_magnitude: Array, q_magnitude: Array) -> Bound:
    """The activation's own roundings, and those of the two sums times the derivatives of y with respect to them."""
    sums = bound(1, max(k, 1), np.abs(slope(p) * q) * p_magnitude + np.abs(silu(p)) * q_magnitude)
    return sums + silu_bound(silu(p) * q, p, q)


def backward(ds: Array, gate: Array, up: Array) -> tuple[Array, Array]:
    t = terms(BACKWARD)
    dy = t("dy", ds)
    return dy * up * silu_slope(gate, BACKWARD, "dgate."), t("dup", dy * silu(gate))


def backward_bounds(ds: Array, gate: Array, up: Array, k: int, magnitude: Array) -> tuple[Bound, Bound]:
    """As the forward's: the sum's roundings reach both gradients."""
    sums = product_bound(k, magnitude, 1.0, 0.0)
    return (
        Bound(sums.array * np.abs(up * slope(gate)), sums.parts) + slope_bound(ds * up, gate),
        Bound(sums.array * np.abs(silu(gate)), sums.parts) + silu_bound(ds * silu(gate), gate, ds),
    )


def _rows(live: Array, limit: Bound, spare: Array, ld: int, dtype: str = "f32") -> Out:
    """What is written into rows that belong to a group; those that belong to none, and the gaps, must keep what they
    hold."""
    full = np.concatenate([live, spare])
    limit = limit.stored_as(dtype, live)
    limits = np.concatenate([limit.array, np.zeros_like(spare)])
    old = np.concatenate([np.full_like(live, np.nan), spare])
    return Out(
        strided(full, ld, GAP), Bound(strided(limits, ld, 0.0), limit.parts), dtype, initial=strided(old, ld, GAP)
    )


def _forward_cases() -> list[Case]:
    out: list[Case] = []
    for name, sizes, spare, n, k, pad, gather, kept, dtypes in (
        ("even", [3, 3], 0, 5, 4, 1, False, True, ("f32", "f32", "f32")),
        ("empty_experts", [0, 5, 0, 1, 7, 0], 3, 9, 17, 0, True, True, ("f32", "f32", "f32")),
        ("one_has_all", [0, 0, 20], 0, 35, 8, 2, True, False, ("f32", "f32", "f32")),
        ("wide", [2, 15], 1, 141, 5, 0, False, True, ("f32", "f32", "f32")),
        ("long", [1, 3], 0, 7, 390, 0, True, False, ("f32", "f32", "f32")),
        ("k0", [2, 1], 1, 5, 0, 1, False, True, ("f32", "f32", "f32")),
        ("bf16", [2, 0, 9], 1, 16, 33, 3, True, True, ("bf16", "f32", "bf16")),
        ("bf16_rows", [4, 18], 0, 40, 24, 0, True, False, ("f32", "bf16", "bf16")),
        ("mixed", [4, 0, 18], 1, 41, 24, 0, True, True, ("f32", "f32", "bf16")),
        ("f16", [6, 1], 1, 17, 21, 0, False, True, ("f16", "f16", "f16")),
        ("q8", [1, 0, 7, 2], 1, 18, 96, 32, True, False, ("f32", "f32", "q8")),
        ("q4", [2, 0, 6], 0, 17, 64, 0, True, True, ("f32", "f32", "q4")),
        ("q4_bf16", [5], 0, 33, 32, 0, False, False, ("bf16", "bf16", "q4")),
    ):
        make = Inputs(f"{FORWARD} {name}")
        y_dtype, a_dtype, w_dtype = dtypes
        groups, rows = len(sizes), sum(sizes)
        m = rows + spare
        a_row_count = rows // 2 + 1 if gather else m
        a = make.floats((a_row_count, k), a_dtype)
        w_gate, given_gate = matrix_b(make, (groups, k, n), w_dtype, 1, pad)
        w_up, given_up = matrix_b(make, (groups, k, n), w_dtype, 1, pad)
        # Spare entries of a_rows are never read: they would be out of range.
        a_rows: IntArray = np.where(np.arange(m) < rows, make.integers(m, 0, a_row_count), -7)
        x = a[a_rows[:rows]] if gather else a[:rows]
        p, p_magnitude = grouped(x, w_gate, sizes, a_dtype, w_dtype)
        q, q_magnitude = grouped(x, w_up, sizes, a_dtype, w_dtype)
        y, gate, up = forward(p, q)
        limit = forward_bound(p, q, k, p_magnitude, q_magnitude)
        rest, ldc = make.floats((3, spare, n), y_dtype), n + pad % 32
        saved: dict[str, Out | None] = {"gate": None, "up": None}
        if kept:
            saved["gate"] = _rows(gate, product_bound(k, p_magnitude, 1.0, 0.0), rest[1], ldc)
            saved["up"] = _rows(up, product_bound(k, q_magnitude, 1.0, 0.0), rest[2], ldc)
        out.append(
            case(
                name,
                FORWARD,
                EVERY_TERM if k == 0 else frozenset(),
                y=_rows(y, limit, rest[0], ldc, y_dtype),
                **saved,
                a=In(strided(a, k + 1, np.nan), a_dtype),
                w_gate=given_gate,
                w_up=given_up,
                offsets=In(offsets_of(sizes), "i32"),
                a_rows=In(a_rows, "i32") if gather else None,
                groups=groups,
                m=m,
                n=n,
                k=k,
                a_row_count=a_row_count,
                ldc=ldc,
                lda=k + 1,
                ldb=k + pad,
                stride_b=n * (k + pad),
            )
        )
    return out


def _backward_cases() -> list[Case]:
    out: list[Case] = []
    for name, sizes, spare, n, k, pad, dtypes in (
        ("even", [3, 3], 0, 5, 4, 0, ("f32", "f32")),
        ("empty_experts", [0, 5, 0, 1, 7, 0], 3, 9, 17, 2, ("f32", "f32")),
        ("one_has_all", [0, 0, 20], 0, 35, 8, 0, ("f32", "f32")),
        ("wide", [2, 15], 1, 141, 5, 0, ("f32", "f32")),
        ("k0", [2, 1], 1, 5, 0, 0, ("f32", "f32")),
        ("bf16", [2, 0, 9], 1, 16, 33, 1, ("f32", "bf16")),
        ("mixed", [2, 0, 19], 1, 24, 33, 0, ("f32", "bf16")),
        ("f16", [6, 1], 0, 17, 21, 0, ("f16", "f16")),
    ):
        make = Inputs(f"{BACKWARD} {name}")
        a_dtype, w_dtype = dtypes
        groups, rows = len(sizes), sum(sizes)
        m, ldc = rows + spare, n + pad
        a = make.floats((m, k), a_dtype)
        w_down, given = matrix_b(make, (groups, k, n), w_dtype, 0, pad)
        gate, up = make.floats((m, n), scale=4.0), make.floats((m, n))
        ds, magnitude = grouped(a[:rows], w_down, sizes, a_dtype, w_dtype)
        dgate, dup = backward(ds, gate[:rows], up[:rows])
        dgate_limit, dup_limit = backward_bounds(ds, gate[:rows], up[:rows], k, magnitude)
        out.append(
            case(
                name,
                BACKWARD,
                EVERY_TERM if k == 0 else frozenset(),
                # Where they stand in the place of gate and up, rows of no group hold these.
                dgate=_rows(dgate, dgate_limit, gate[rows:], ldc),
                dup=_rows(dup, dup_limit, up[rows:], ldc),
                a=In(strided(a, k + 2, np.nan), a_dtype),
                w_down=given if k else In(np.array([np.nan])),
                offsets=In(offsets_of(sizes), "i32"),
                gate=In(strided(gate, ldc, GAP)),
                up=In(strided(up, ldc, GAP)),
                groups=groups,
                m=m,
                n=n,
                k=k,
                ldc=ldc,
                lda=k + 2,
                ldb=n + pad,
                stride_b=k * (n + pad),
            )
        )
    return out


def cases() -> list[Case]:
    return _forward_cases() + _backward_cases()


def gradient_checks() -> list[GradientCheck]:
    make = Inputs("gemm_swiglu gradients")
    sizes, n, k = [2, 0, 1], 3, 4
    drows, w_down = make.floats((3, k)), make.floats((3, k, n))
    gate, up = make.floats((3, n), scale=1.5), make.floats((3, n))
    ds, _ = grouped(drows, w_down, sizes, "f32", "f32")
    dgate, dup = backward(ds, gate, up)

    def loss(p: Array, q: Array) -> float:
        # What the experts return, row by row: W2_g^T y, against the gradient of it.
        group = np.repeat(np.arange(3), sizes)
        rows = np.einsum("rn,rkn->rk", silu(p) * q, w_down[group])
        return float(np.sum(drows * rows))

    return [
        GradientCheck(BACKWARD, "dgate", lambda p: loss(p, up), gate, dgate),
        GradientCheck(BACKWARD, "dup", lambda q: loss(gate, q), up, dup),
    ]
