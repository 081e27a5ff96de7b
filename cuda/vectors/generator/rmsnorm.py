"""rmsnorm, plain and with the residual fused."""

from __future__ import annotations

import numpy as np

from .case import Bound, Case, GradientCheck, In, Out, bound, case, terms
from .numbers import Array, Inputs, round_to


def rmsnorm(x: Array, w: Array, eps: float) -> tuple[Array, Array]:
    rstd = 1.0 / np.sqrt((x * x).mean(axis=1) + eps)
    return x * rstd[:, None] * w, rstd


def rmsnorm_backward(op: str, dy: Array, x: Array, w: Array, rstd: Array, dw: Array) -> tuple[Array, Array]:
    """dx and the new dw, from the saved rstd."""
    t = terms(op)
    xh = x * rstd[:, None]
    g = dy * w
    dx = t("dx.direct", rstd[:, None] * g) - t("dx.mean", rstd[:, None] * xh * (g * xh).mean(axis=1, keepdims=True))
    return dx, t("dw.previous", dw) + t("dw.sum", (dy * xh).sum(axis=0))


def backward_bounds(dy: Array, x: Array, w: Array, rstd: Array, dw: Array) -> tuple[Array, Bound]:
    """Sum of magnitudes of dx, and the bound of dw."""
    xh = np.abs(x) * rstd[:, None]
    g = np.abs(dy * w)
    magnitude = rstd[:, None] * (g + xh * (g * xh).mean(axis=1, keepdims=True))
    return magnitude, bound(2, x.shape[0] + 1, np.abs(dw) + (np.abs(dy) * xh).sum(axis=0))


def cases() -> list[Case]:
    out: list[Case] = []
    for name, rows, cols, w_dtype, y_dtype, eps, scale in (
        ("5x7", 5, 7, "f32", "f32", 1e-6, 1.0),
        ("1x1", 1, 1, "f32", "f32", 1e-5, 1.0),
        ("9x64", 9, 64, "f32", "f32", 1e-6, 2.0),
        ("3x65_bf16", 3, 65, "bf16", "bf16", 1e-6, 1.0),
        ("3x33_f16", 3, 33, "f16", "f16", 1e-6, 1.0),
        ("4x16_eps", 4, 16, "f32", "f32", 1e-2, 1e-2),
        ("2x19_zero_row", 2, 19, "f32", "f32", 1e-6, 1.0),
    ):
        make = Inputs(f"rmsnorm {name}")
        x, residual = make.floats((rows, cols), scale=scale), make.floats((rows, cols), scale=scale)
        if name == "2x19_zero_row":
            x[1] = 0.0
            residual[1] = 0.0
        w, dy = round_to(1.0 + make.floats(cols, scale=0.25), w_dtype), make.floats((rows, cols))
        dw0, dh = make.floats(cols), make.floats((rows, cols))
        t = terms("rmsnorm_forward")
        y, rstd = rmsnorm(x, w, eps)
        # mean: cols terms, all positive; then + eps, sqrt, quotient (2 eps) and two products (1 eps).
        out.append(
            case(
                name,
                "rmsnorm_forward",
                y=Out(t("y", y), bound(3, cols, np.abs(y)).stored_as(y_dtype, y), y_dtype),
                rstd=Out(t("rstd", rstd), bound(2, cols, rstd)),
                x=In(x),
                w=In(w, w_dtype),
                rows=rows,
                cols=cols,
                eps=eps,
            )
        )
        saved = round_to(rstd, "f32")
        dx, dw = rmsnorm_backward("rmsnorm_backward", dy, x, w, saved, dw0)
        magnitude, dw_limit = backward_bounds(dy, x, w, saved, dw0)
        out.append(
            case(
                name,
                "rmsnorm_backward",
                dx=Out(dx, bound(2, cols, magnitude)),
                dw=Out(dw, dw_limit, initial=dw0),
                dy=In(dy),
                x=In(x),
                w=In(w, w_dtype),
                rstd=In(saved),
                rows=rows,
                cols=cols,
            )
        )
        t = terms("rmsnorm_residual_forward")
        h = t("h.x", x) + t("h.residual", residual)
        y, rstd = rmsnorm(x + residual, w, eps)
        # The sum is rounded once before it is normalised: one more rounding for y, half an eps for h.
        out.append(
            case(
                name,
                "rmsnorm_residual_forward",
                y=Out(t("y", y), bound(4, cols, np.abs(y)).stored_as(y_dtype, y), y_dtype),
                h=Out(h, bound(0.5, 1, np.abs(x + residual))),
                rstd=Out(t("rstd", rstd), bound(3, cols, rstd)),
                x=In(x),
                residual=In(residual),
                w=In(w, w_dtype),
                rows=rows,
                cols=cols,
                eps=eps,
            )
        )
        op = "rmsnorm_residual_backward"
        h = round_to(x + residual, "f32")
        saved = round_to(rstd, "f32")
        dx, dw = rmsnorm_backward(op, dy, h, w, saved, dw0)
        magnitude, dw_limit = backward_bounds(dy, h, w, saved, dw0)
        out.append(
            case(
                name,
                op,
                dx=Out(terms(op)("dx.dh", dh) + dx, bound(2, cols, np.abs(dh) + magnitude)),
                dw=Out(dw, dw_limit, initial=dw0),
                dy=In(dy),
                dh=In(dh),
                h=In(h),
                w=In(w, w_dtype),
                rstd=In(saved),
                rows=rows,
                cols=cols,
            )
        )
    return out


def gradient_checks() -> list[GradientCheck]:
    make = Inputs("rmsnorm gradients")
    x, dy, dh, w, eps = make.floats((3, 5)), make.floats((3, 5)), make.floats((3, 5)), make.floats(5), 1e-2
    zero = np.zeros(5)
    _, rstd = rmsnorm(x, w, eps)
    dx, dw = rmsnorm_backward("rmsnorm_backward", dy, x, w, rstd, zero)
    out = [
        GradientCheck("rmsnorm_backward", "dx", lambda z: float((dy * rmsnorm(z, w, eps)[0]).sum()), x, dx),
        GradientCheck("rmsnorm_backward", "dw", lambda z: float((dy * rmsnorm(x, z, eps)[0]).sum()), w, dw),
    ]
    # h feeds both the residual stream (dh) and the norm (dy).
    dx, dw = rmsnorm_backward("rmsnorm_residual_backward", dy, x, w, rstd, zero)
    return [
        *out,
        GradientCheck(
            "rmsnorm_residual_backward",
            "dx",
            lambda z: float((dh * z + dy * rmsnorm(z, w, eps)[0]).sum()),
            x,
            dh + dx,
        ),
        GradientCheck("rmsnorm_residual_backward", "dw", lambda z: float((dy * rmsnorm(x, z, eps)[0]).sum()), w, dw),
    ]
