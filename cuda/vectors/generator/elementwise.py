"""add, mul, scale, silu, swiglu, fill."""

from __future__ import annotations

import numpy as np

from .case import Bound, Case, GradientCheck, In, Out, bound, case, exact, terms
from .numbers import Array, Inputs, round_to

# Where exp overflows or vanishes, silu's flat ends, both zeros, and its minimum.
_MAGNITUDES = (0.0, 1e-30, 1.2784645, 20.0, 87.0, 88.5, 89.5, 200.0, 1e30)
EDGES = round_to([sign * x for x in _MAGNITUDES for sign in (1.0, -1.0)], "f32")


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def silu_slope(x: Array, op: str, prefix: str) -> Array:
    """silu'(x) = s + x s (1 - s), with 1 - s = sigmoid(-x), which does not cancel for large x."""
    t = terms(op)
    s = sigmoid(x)
    return t(prefix + "direct", s) + t(prefix + "slope", x * s * sigmoid(-x))


def slope_magnitude(x: Array) -> Array:
    """Sum of magnitudes of s (1 + x (1 - s)): s, x s and x s s. Beyond 18, 1 + exp(-x) is 1 in f32 and 1 - s is 0."""
    s = sigmoid(x)
    return s * (1.0 + np.minimum(np.abs(x), np.where(x > 0, 18.0, np.inf)) * (1.0 + s))


def slope_flush(x: Array) -> Array:
    """What a vanishing s is multiplied by, at most."""
    return 1.0 + np.maximum(-x, 0.0)


def silu_backward(dy: Array, x: Array) -> Array:
    return dy * silu_slope(x, "silu_backward", "dx.")


def mul_backward(dy: Array, a: Array, b: Array) -> tuple[Array, Array]:
    t = terms("mul_backward")
    return t("da", dy * b), t("db", dy * a)


def swiglu_backward(dy: Array, gate: Array, up: Array) -> tuple[Array, Array]:
    t = terms("swiglu_backward")
    return dy * up * silu_slope(gate, "swiglu_backward", "dgate."), t("dup", dy * silu(gate))


def _once(y: Array) -> Bound:
    """One correctly rounded operation."""
    return bound(0.5, 1, np.abs(y))


def silu_bound(y: Array, x: Array, factor: Array | float = 1.0) -> Bound:
    """exp 2, 1 + e, the quotient, the product by x and one more factor: six roundings, 3 eps."""
    return bound(3, 1, np.abs(y), flush=np.abs(x) * np.abs(factor))


def slope_bound(dy: Array, x: Array) -> Bound:
    """Of dy silu'(x): s 2.5 eps (exp 2, sum, quotient), 1 - s, two products, one sum, the last product."""
    return bound(4, 1, np.abs(dy) * slope_magnitude(x), flush=np.abs(dy) * slope_flush(x))


def cases() -> list[Case]:
    out: list[Case] = []
    for n in (1, 17, 35, 1000):
        make = Inputs(f"elementwise {n}")
        a, b, dy = make.floats(n), make.floats(n), make.floats(n)
        t = terms("add_forward")
        y = t("a", a) + t("b", b)
        out.append(case(f"n{n}", "add_forward", y=Out(y, _once(y)), a=In(a), b=In(b), n=n))
        y = terms("mul_forward")("y", a * b)
        out.append(case(f"n{n}", "mul_forward", y=Out(y, _once(y)), a=In(a), b=In(b), n=n))
        if n == 1000:
            continue
        da, db = mul_backward(dy, a, b)
        gradients = {"da": Out(da, _once(da)), "db": Out(db, _once(db))}
        out.append(case(f"n{n}", "mul_backward", **gradients, dy=In(dy), a=In(a), b=In(b), n=n))
        alpha = -0.3
        y = terms("scale_forward")("y", alpha * a)
        # alpha is rounded to f32, then the product.
        out.append(case(f"n{n}", "scale_forward", y=Out(y, bound(1, 1, np.abs(y))), x=In(a), n=n, alpha=alpha))

    for name, x in (("n35", Inputs("silu 35").floats(35, scale=4.0)), ("edges", EDGES), ("n1", np.array([0.5]))):
        n = x.size
        make = Inputs(f"silu {name}")
        dy, up = make.floats(n), make.floats(n)
        y = terms("silu_forward")("y", silu(x))
        out.append(case(name, "silu_forward", y=Out(y, silu_bound(y, x)), x=In(x), n=n))
        dx = silu_backward(dy, x)
        out.append(case(name, "silu_backward", dx=Out(dx, slope_bound(dy, x)), dy=In(dy), x=In(x), n=n))

        y = terms("swiglu_forward")("y", silu(x) * up)
        out.append(case(name, "swiglu_forward", y=Out(y, silu_bound(y, x, up)), gate=In(x), up=In(up), n=n))
        if name != "edges":
            for dtype in ("bf16", "f16"):
                limit = silu_bound(y, x, up).stored_as(dtype, y)
                out.append(
                    case(f"{dtype}_{name}", "swiglu_forward", y=Out(y, limit, dtype), gate=In(x), up=In(up), n=n)
                )
        dgate, dup = swiglu_backward(dy, x, up)
        out.append(
            case(
                name,
                "swiglu_backward",
                dgate=Out(dgate, slope_bound(dy * up, x)),
                dup=Out(dup, silu_bound(dup, x, dy)),
                dy=In(dy),
                gate=In(x),
                up=In(up),
                n=n,
            )
        )

    for dtype, value in (("f32", 0.1), ("bf16", -0.15625), ("f16", 1.5)):
        want = np.full(19, float(round_to(value, dtype)))
        tail = np.array([7.0, 8.0])
        out.append(
            case(
                dtype,
                "fill",
                y=Out(
                    np.concatenate([want, tail]),
                    exact(np.zeros(21)),
                    dtype,
                    initial=np.concatenate([np.full(19, np.nan), tail]),
                ),
                n=19,
                value=value,
            )
        )
    for dtype, number in (("i32", -7), ("i64", 1 << 40), ("u8", 200)):
        out.append(case(dtype, "fill", y=Out(np.full(19, number), dtype=dtype), n=19, value=float(number)))
    return out


def gradient_checks() -> list[GradientCheck]:
    make = Inputs("elementwise gradients")
    dy, a, b = (make.floats(9, scale=1.5) for _ in range(3))
    da, db = mul_backward(dy, a, b)
    dgate, dup = swiglu_backward(dy, a, b)
    return [
        GradientCheck("mul_backward", "da", lambda x: float(dy @ (x * b)), a, da),
        GradientCheck("mul_backward", "db", lambda x: float(dy @ (a * x)), b, db),
        GradientCheck("silu_backward", "dx", lambda x: float(dy @ silu(x)), a, silu_backward(dy, a)),
        GradientCheck("swiglu_backward", "dgate", lambda x: float(dy @ (silu(x) * b)), a, dgate),
        GradientCheck("swiglu_backward", "dup", lambda x: float(dy @ (silu(a) * x)), b, dup),
    ]
