"""softmax, top-k, softmax + top-k over the columns of a matrix."""

from __future__ import annotations

import numpy as np

from .case import Bound, Case, GradientCheck, In, Out, bound, case, exact, strided, terms
from .numbers import Array, Inputs, IntArray, round_to


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def softmax_bound(x: Array) -> Bound:
    """Each exp carries the rounding of its argument, |x - m| eps / 2, and its own; so does every term of the sum."""
    p = softmax(x)
    argument = np.abs(x - x.max(axis=-1, keepdims=True))
    argument = np.where(p > 0, argument, 0.0)
    spread = 1.0 + argument + (p * argument).sum(axis=-1, keepdims=True)
    return bound(2, x.shape[-1], p * spread, flush=np.ones_like(p))


def softmax_backward(dy: Array, y: Array) -> Array:
    t = terms("softmax_backward")
    return t("direct", y * dy) - t("mean", y * (dy * y).sum(axis=-1, keepdims=True))


def softmax_backward_bound(dy: Array, y: Array) -> Bound:
    magnitude = y * (np.abs(dy) + np.abs(dy * y).sum(axis=-1, keepdims=True))
    return bound(2, dy.shape[-1], magnitude)


def top_k(x: Array, k: int) -> IntArray:
    """Indices of the k largest of each row, descending, ties to the lower index, NaN after every number."""
    order = np.empty((*x.shape[:-1], k), dtype=np.int64)
    for row in np.ndindex(x.shape[:-1]):
        order[row] = sorted(range(x.shape[-1]), key=lambda i: (np.isnan(x[row][i]), -x[row][i], i))[:k]
    return order


def scatter(values: Array, indices: IntArray, cols: int) -> Array:
    out = np.zeros((values.shape[0], cols))
    np.put_along_axis(out, indices, values, axis=1)
    return out


def softmax_top_k_backward(dvalues: Array, indices: IntArray, probs: Array) -> Array:
    t = terms("softmax_top_k_backward")
    chosen = np.take_along_axis(probs, indices, axis=1)
    direct = t("direct", probs * scatter(dvalues, indices, probs.shape[1]))
    return direct - t("mean", probs * (dvalues * chosen).sum(axis=1, keepdims=True))


def _softmax_cases() -> list[Case]:
    out: list[Case] = []
    for name, rows, cols, ldy, ldx, scale in (
        ("5x7", 5, 7, 7, 7, 2.0),
        ("1x1", 1, 1, 1, 1, 2.0),
        ("3x33_ld", 3, 33, 40, 35, 3.0),
        ("2x257", 2, 257, 257, 257, 4.0),
        ("1x1030", 1, 1030, 1030, 1030, 2.0),
        ("large_logits", 4, 17, 17, 17, 300.0),
    ):
        make = Inputs(f"softmax {name}")
        x = make.floats((rows, cols), scale=scale)
        if name == "large_logits":
            x[1] = 1e30
            x[2] = np.where(np.arange(cols) == 5, 3e38, -3e38)
            x = round_to(x, "f32")
        y = terms("softmax_forward")("y", softmax(x))
        if ldy == cols:
            y_out = Out(y, softmax_bound(x))
        else:
            limit = softmax_bound(x)
            padded = Bound(strided(limit.array, ldy, 0.0), limit.parts)
            y_out = Out(strided(y, ldy, -3.0), padded, initial=strided(np.full_like(y, np.nan), ldy, -3.0))
        dims = {"rows": rows, "cols": cols}
        out.append(case(name, "softmax_forward", y=y_out, x=In(strided(x, ldx, np.nan)), **dims, ldy=ldy, ldx=ldx))
        if name in ("2x257", "1x1030", "large_logits"):
            continue
        ld = ldy
        dy, saved = make.floats((rows, cols)), round_to(softmax(x), "f32")
        dx, limit = softmax_backward(dy, saved), softmax_backward_bound(dy, saved)
        padded = Bound(strided(limit.array, ld, 0.0), limit.parts)
        out.append(
            case(
                name,
                "softmax_backward",
                dx=Out(strided(dx, ld, -3.0), padded, initial=strided(np.full_like(dx, np.nan), ld, -3.0)),
                dy=In(strided(dy, ld, np.nan)),
                y=In(strided(saved, ld, np.nan)),
                rows=rows,
                cols=cols,
                ld=ld,
            )
        )
    return out


def _distinct_rows(make: Inputs, rows: int, cols: int) -> Array:
    """Rows whose values differ by at least 1/16, so that rounded probabilities keep the order of the exact ones."""
    return np.stack([make.permutation(cols) for _ in range(rows)]) / 16.0 - cols / 32.0


def _top_k_cases() -> list[Case]:
    out: list[Case] = []
    nan, inf = np.nan, np.inf
    hard = np.array(
        [
            [1.0, 3.0, 3.0, -2.0, 3.0, 0.0, 1.0],
            [0.0, -0.0, -1.0, -0.0, 0.0, -5.0, -1.0],
            [nan, 2.0, nan, -inf, 1.0, nan, inf],
            [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0],
            [-inf, -inf, nan, -inf, -inf, -inf, -inf],
        ]
    )
    for name, x, ldx, k in (
        ("ties", hard, 7, 3),
        ("ties_all", hard, 7, 7),
        ("1x1", np.array([[-4.0]]), 1, 1),
        ("6x65_ld", _distinct_rows(Inputs("top_k 65"), 6, 65), 70, 4),
    ):
        rows, cols = x.shape
        indices = top_k(x, k)
        values = np.take_along_axis(x, indices, axis=1)
        out.append(
            case(
                name,
                "top_k_forward",
                values=Out(values, exact(values)),
                indices=Out(indices, dtype="i32"),
                x=In(strided(x, ldx, inf)),
                rows=rows,
                cols=cols,
                ldx=ldx,
                k=k,
            )
        )
        dvalues = Inputs(f"top_k {name}").floats((rows, k))
        dx = scatter(terms("top_k_backward")("dx", dvalues), indices, cols)
        want = strided(dx, ldx, -3.0)
        out.append(
            case(
                name,
                "top_k_backward",
                dx=Out(want, exact(want), initial=strided(np.full_like(dx, nan), ldx, -3.0)),
                dvalues=In(dvalues),
                indices=In(indices, "i32"),
                rows=rows,
                cols=cols,
                ldx=ldx,
                k=k,
            )
        )
    return out


def _softmax_top_k_cases() -> list[Case]:
    out: list[Case] = []
    tied = np.array([[0.5, 2.0, -1.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0, 1.0], [30.0, -20.0, 20.0, 10.0, 0.0]])
    for name, x, ldx, k in (
        ("7x4", _distinct_rows(Inputs("softmax_top_k 4"), 7, 4), 4, 2),
        ("5x17_ld", _distinct_rows(Inputs("softmax_top_k 17"), 5, 17), 20, 4),
        ("ties", tied, 5, 2),
    ):
        rows, cols = x.shape
        make = Inputs(f"softmax_top_k {name}")
        indices = top_k(x, k)
        probs, limit = softmax(x), softmax_bound(x)
        values = np.take_along_axis(probs, indices, axis=1)
        values_limit = Bound(np.take_along_axis(limit.array, indices, axis=1), limit.parts)
        out.append(
            case(
                name,
                "softmax_top_k_forward",
                probs=Out(terms("softmax_top_k_forward")("probs", probs), limit),
                values=Out(values, values_limit),
                indices=Out(indices, dtype="i32"),
                x=In(strided(x, ldx, np.nan)),
                rows=rows,
                cols=cols,
                ldx=ldx,
                k=k,
            )
        )
        dvalues, saved = make.floats((rows, k)), round_to(probs, "f32")
        dx = softmax_top_k_backward(dvalues, indices, saved)
        chosen = np.take_along_axis(saved, indices, axis=1)
        total = np.abs(dvalues * chosen).sum(axis=1, keepdims=True)
        magnitude = saved * (np.abs(scatter(dvalues, indices, cols)) + total)
        limit = bound(2, k, magnitude)
        out.append(
            case(
                name,
                "softmax_top_k_backward",
                dx=Out(
                    strided(dx, ldx, -3.0),
                    Bound(strided(limit.array, ldx, 0.0), limit.parts),
                    initial=strided(np.full_like(dx, np.nan), ldx, -3.0),
                ),
                dvalues=In(dvalues),
                indices=In(indices, "i32"),
                probs=In(saved),
                rows=rows,
                cols=cols,
                ldx=ldx,
                k=k,
            )
        )
    return out


def cases() -> list[Case]:
    return _softmax_cases() + _top_k_cases() + _softmax_top_k_cases()


def gradient_checks() -> list[GradientCheck]:
    make = Inputs("softmax gradients")
    x = _distinct_rows(make, 3, 6)
    dy, dvalues = make.floats((3, 6)), make.floats((3, 2))
    indices = top_k(x, 2)

    def chosen(z: Array) -> Array:
        return np.take_along_axis(z, indices, axis=1)

    return [
        GradientCheck(
            "softmax_backward", "dx", lambda z: float((dy * softmax(z)).sum()), x, softmax_backward(dy, softmax(x))
        ),
        GradientCheck(
            "top_k_backward", "dx", lambda z: float((dvalues * chosen(z)).sum()), x, scatter(dvalues, indices, 6)
        ),
        GradientCheck(
            "softmax_top_k_backward",
            "dx",
            lambda z: float((dvalues * chosen(softmax(z))).sum()),
            x,
            softmax_top_k_backward(dvalues, indices, softmax(x)),
        ),
    ]
