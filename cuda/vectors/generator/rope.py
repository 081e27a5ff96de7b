"""rope: the tables and the rotation of q and k together."""

from __future__ import annotations

import numpy as np

from .case import Bound, Case, GradientCheck, In, Out, bound, case, strided, terms
from .numbers import EPS_F64, Array, Inputs, IntArray, round_to

GAP = -3.0


def angles(positions: int, head_dim: int, theta: float, ntk_alpha: float) -> tuple[Array, Array]:
    """p theta'^(-2i/d), and the size of its float64 error over eps: the exponent scales the error of a power."""
    if ntk_alpha != 1.0:
        theta = theta * ntk_alpha ** (head_dim / (head_dim - 2))
    exponent = -2.0 * np.arange(head_dim // 2) / head_dim
    angle = np.arange(positions)[:, None] * theta ** exponent[None, :]
    return angle, angle * (1.0 + np.abs(exponent * np.log(theta)))


def rotate(op: str, prefix: str, x: Array, cos: Array, sin: Array, sign: float) -> Array:
    """x [tokens, heads, d] by the angle (sign 1) or its negative (-1); cos and sin [tokens, d/2]."""
    t = terms(op)
    half = x.shape[2] // 2
    c, s = cos[:, None, :], sign * sin[:, None, :]
    low, high = x[:, :, :half], x[:, :, half:]
    first = t(prefix + "low.cos", low * c) - t(prefix + "low.sin", high * s)
    return np.concatenate([first, t(prefix + "high.cos", high * c) + t(prefix + "high.sin", low * s)], axis=2)


def rotation_bound(x: Array, cos: Array, sin: Array) -> Bound:
    half = x.shape[2] // 2
    c, s = np.abs(cos[:, None, :]), np.abs(sin[:, None, :])
    low, high = np.abs(x[:, :, :half]), np.abs(x[:, :, half:])
    return bound(1, 1, np.concatenate([low * c + high * s, high * c + low * s], axis=2))


def place(x: Array, token_stride: int, fill: float) -> Array:
    """[tokens, heads, d] with a token stride that leaves room behind the heads."""
    return strided(x.reshape(x.shape[0], -1), token_stride, fill)


def tables(positions: int, head_dim: int, theta: float = 1e4, ntk_alpha: float = 1.0) -> tuple[Array, Array]:
    angle, _ = angles(positions, head_dim, theta, ntk_alpha)
    return round_to(np.cos(angle), "f32"), round_to(np.sin(angle), "f32")


def _frequency_cases() -> list[Case]:
    out: list[Case] = []
    for name, positions, head_dim, theta, alpha in (
        ("9x16", 9, 16, 1e4, 1.0),
        ("65x20_ntk8", 65, 20, 1e4, 8.0),
        ("33x64_ntk8", 33, 64, 1e4, 8.0),
        ("600x4_far", 600, 4, 3.0, 1.0),
        ("5x2", 5, 2, 1e4, 1.0),
        ("7x6_theta1e6", 7, 6, 1e6, 1.0),
    ):
        angle, error = angles(positions, head_dim, theta, alpha)
        t = terms("rope_frequencies")
        # The angle and its cosine in f64, then one rounding to f32.
        limits = [bound(0.5, 1, np.abs(f(angle))) + bound(4, 1, 1.0 + error, EPS_F64) for f in (np.cos, np.sin)]
        out.append(
            case(
                name,
                "rope_frequencies",
                cos=Out(t("cos", np.cos(angle)), limits[0]),
                sin=Out(t("sin", np.sin(angle)), limits[1]),
                positions=positions,
                head_dim=head_dim,
                theta=theta,
                ntk_alpha=alpha,
            )
        )
    return out


def _rotation_cases() -> list[Case]:
    out: list[Case] = []
    # pad: elements behind the heads of a token, as when q, k and v share one buffer.
    for name, tokens, n_heads, n_kv_heads, head_dim, alpha, pad, dtype in (
        ("5_mqa_d16", 5, 4, 1, 16, 1.0, 0, "f32"),
        ("9_gqa_d20_pad", 9, 6, 2, 20, 8.0, 4, "f32"),
        ("3_d64", 3, 2, 2, 64, 8.0, 0, "f32"),
        ("1_d2", 1, 1, 1, 2, 1.0, 1, "f32"),
        ("5_d16_bf16", 5, 2, 1, 16, 1.0, 0, "bf16"),
        ("4_d20_f16", 4, 2, 1, 20, 1.0, 3, "f16"),
    ):
        make = Inputs(f"rope {name}")
        table_positions = 3 * tokens + 2
        cos, sin = tables(table_positions, head_dim, ntk_alpha=alpha)
        # Neither consecutive nor sorted, the last row of the tables among them; token 0 is turned for certain.
        positions: IntArray = make.permutation(table_positions)[:tokens]
        positions[0] = table_positions - 1
        c, s = cos[positions], sin[positions]
        q, k = make.floats((tokens, n_heads, head_dim)), make.floats((tokens, n_kv_heads, head_dim))
        strides = {
            "q_token_stride": n_heads * head_dim + pad,
            "q_head_stride": head_dim,
            "k_token_stride": n_kv_heads * head_dim + 2 * pad,
            "k_head_stride": head_dim,
        }
        dims = {
            "tokens": tokens,
            "n_heads": n_heads,
            "n_kv_heads": n_kv_heads,
            "head_dim": head_dim,
            "table_positions": table_positions,
        }

        def output(op: str, name: str, x: Array, sign: float, stride: int, dtype: str) -> Out:
            want = rotate(op, f"{name}.", x, c, s, sign)  # noqa: B023
            limit = rotation_bound(x, c, s).stored_as(dtype, want)  # noqa: B023
            initial = place(np.full_like(x, np.nan), stride, GAP)
            return Out(place(want, stride, GAP), Bound(place(limit.array, stride, 0.0), limit.parts), dtype, initial)

        inputs = {
            "q": In(place(q, strides["q_token_stride"], np.nan)),
            "k": In(place(k, strides["k_token_stride"], np.nan)),
            "cos": In(cos),
            "sin": In(sin),
            "positions": In(positions, "i32"),
        }
        out.append(
            case(
                name,
                "rope_forward",
                q_out=output("rope_forward", "q_out", q, 1.0, strides["q_token_stride"], dtype),
                k_out=output("rope_forward", "k_out", k, 1.0, strides["k_token_stride"], dtype),
                **inputs,
                **dims,
                **strides,
            )
        )
        if dtype != "f32":
            continue
        out.append(
            case(
                name,
                "rope_backward",
                dq=output("rope_backward", "dq", q, -1.0, strides["q_token_stride"], "f32"),
                dk=output("rope_backward", "dk", k, -1.0, strides["k_token_stride"], "f32"),
                dq_out=inputs["q"],
                dk_out=inputs["k"],
                cos=inputs["cos"],
                sin=inputs["sin"],
                positions=inputs["positions"],
                **dims,
                **strides,
            )
        )
    return out


def cases() -> list[Case]:
    return _frequency_cases() + _rotation_cases()


def gradient_checks() -> list[GradientCheck]:
    make = Inputs("rope gradients")
    cos, sin = tables(7, 6, ntk_alpha=8.0)
    c, s = cos[[6, 2, 3]], sin[[6, 2, 3]]
    out = []
    for name, heads in (("dq", 2), ("dk", 1)):
        x, dy = make.floats((3, heads, 6)), make.floats((3, heads, 6))
        gradient = rotate("rope_backward", f"{name}.", dy, c, s, -1.0)

        def loss(z: Array, dy: Array = dy) -> float:
            return float((dy * rotate("rope_forward", "q_out.", z, c, s, 1.0)).sum())

        out.append(GradientCheck("rope_backward", name, loss, x, gradient))
    return out
