"""optimizer: sum of squares, clip scale, AdamW."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .case import Bound, Case, In, Out, Unchecked, Value, bound, case, exact, terms
from .numbers import FLOATS, Array, Inputs, round_to, ulp
from .philox import STREAM_ROUNDING, block


def _sum_cases() -> list[Case]:
    out: list[Case] = []
    for name, n, dtype, scale in (
        ("n1", 1, "f32", 1.0),
        ("n33", 33, "f32", 1e-3),
        ("n5000_bf16", 5000, "bf16", 1.0),
        ("n4097", 4097, "f32", 10.0),
        ("n35_f16", 35, "f16", 1.0),
    ):
        x = Inputs(f"sum of squares {name}").floats(n, dtype, scale)
        total = terms("sum_of_squares")("sum", (x * x).sum(keepdims=True))
        # Chunks of 4096 in f32, then their sums in f64.
        out.append(case(name, "sum_of_squares", sum=Out(total, bound(1, min(n, 4096), total)), x=In(x, dtype), n=n))
    for name, bad in (("inf", np.inf), ("nan", np.nan)):
        x = Inputs(f"sum of squares {name}").floats(19)
        x[7] = bad
        total = (x * x).sum(keepdims=True)
        out.append(case(name, "sum_of_squares", {"sum"}, sum=Out(total, exact(total)), x=In(x), n=19))
    return out


def _clip_cases() -> list[Case]:
    out: list[Case] = []
    for name, total, max_norm, applied in (
        ("clipped", 16.5, 1.0, 6),
        ("within", 0.25, 1.0, 0),
        ("off", 1e6, 0.0, 3),
        ("zero", 0.0, 1.0, 3),
        ("inf", np.inf, 1.0, 3),
        ("nan", np.nan, 1.0, 1 << 40),
    ):
        total_in = round_to(np.array([total]), "f32")
        norm = np.sqrt(total_in)
        finite = bool(np.isfinite(norm[0]))
        scale = np.minimum(1.0, max_norm / (norm + 1e-6)) if max_norm else np.ones(1)
        out.append(
            case(
                name,
                "clip_scale",
                # sqrt, + 1e-6, the quotient: three roundings.
                scale=Out(scale, bound(1.5, 1, scale)) if finite else Unchecked("f32", 1),
                norm=Out(norm, bound(1, 1, norm) if finite else exact(norm)),
                nonfinite=Out(np.array([0 if finite else 1]), dtype="i32"),
                applied=Out(np.array([applied + finite]), dtype="i64", initial=np.array([applied])),
                sum=In(total_in),
                max_norm=max_norm,
            )
        )
    return out


@dataclass(frozen=True)
class _Step:
    """What one AdamW case varies."""

    name: str
    n: int = 35
    applied: int = 1
    scale: float = 1.0
    decay: float = 0.1
    nonfinite: int = 0
    param: str = "f32"
    master: bool = False
    moments: str = "f32"
    grad: str = "f32"
    start: int = 0

    @property
    def stochastic(self) -> bool:
        return self.moments != "f32" or (self.param != "f32" and not self.master)


_STEPS = (
    _Step("first", n=1),
    _Step("n35", applied=7),
    _Step("late", applied=100000),
    _Step("clipped", applied=3, scale=0.0625),
    _Step("no_decay", applied=2, decay=0.0),
    _Step("skipped", applied=2, nonfinite=1),
    _Step("bf16_master", applied=5, param="bf16", master=True, grad="bf16"),
    _Step("f16_master", applied=5, param="f16", master=True),
    _Step("skipped_bf16_master", applied=5, param="bf16", master=True, nonfinite=1),
    _Step("bf16_stochastic", n=67, applied=4, decay=2.0, param="bf16", start=1000),
    _Step("f16_stochastic", n=67, applied=4, decay=2.0, param="f16", start=5),
    _Step("bf16_all", n=67, applied=4, decay=2.0, param="bf16", moments="bf16", grad="bf16", start=(1 << 32) - 7),
)
BETA1, BETA2, EPS, LR = 0.9, 0.95, 1e-8, 1e-2
SEED = 0x0123_4567_89AB_CDEF


def stochastically_rounded(want: Array, near: Bound, words: list[int], dtype: str) -> tuple[Array, Bound]:
    """The upper bits of a random word are added to the f32 below the significand of dtype, what is below it is dropped.

    Exact where no f32 within the bound would be dropped to another number, else either neighbour.
    """
    bits = 24 - FLOATS[dtype].precision
    spacing = ulp(want, dtype)
    steps = np.abs(want) / spacing + (np.array(words) >> (32 - bits)) / 2.0**bits
    # The f32 drops nothing of its own below 2^-bits of a step.
    margin = near.array / spacing + 2.0**-bits
    clear = np.abs(steps - np.rint(steps)) > margin
    rounded = np.copysign(np.floor(steps) * spacing, want)
    limit = np.where(clear, 0.0, near.array + spacing)
    return np.where(clear, rounded, want), Bound(limit, (*near.parts, f"ulp:{dtype}"))


def _adamw_case(step: _Step) -> Case:
    op = "adamw_step"
    t = terms(op)
    make = Inputs(f"adamw {step.name}")
    n = step.n
    master = make.floats(n) if step.master else None
    param = make.floats(n, step.param) if master is None else round_to(master, step.param)
    m = make.floats(n, step.moments, 0.1)
    v = np.abs(make.floats(n, step.moments, 0.01))
    grad = make.floats(n, step.grad)
    lr = round_to(np.array([LR]), "f32")
    old = param if master is None else master
    g = step.scale * grad

    new_m = t("m.previous", BETA1 * m) + t("m.grad", (1 - BETA1) * g)
    new_v = t("v.previous", BETA2 * v) + t("v.grad", (1 - BETA2) * g * g)
    exact_m, exact_v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
    corrections = 1 - BETA1**step.applied, 1 - BETA2**step.applied
    rate = lr[0] / corrections[0] / (np.sqrt(exact_v) / np.sqrt(corrections[1]) + EPS)
    new = old - t("param.decay", lr[0] * step.decay * old) - t("param.step", rate * exact_m)

    m_size = np.abs(BETA1 * m) + np.abs((1 - BETA1) * g)
    # Roundings in a row: m 4 (coefficient, g, product, sum), v 6 (g counts twice), param 16 (m, v, two roots, two
    # quotients, eps, rate, decay and its factor, product and difference).
    m_limit, v_limit = bound(1, 4, m_size), bound(1, 6, exact_v)
    limit = bound(1, 16, np.abs(old) + rate * m_size)
    if step.nonfinite:
        new, new_m, new_v = old, m, v
        limit, m_limit, v_limit = exact(new), exact(m), exact(v)

    def stored(name: str, dtype: str, want: Array, near: Bound, before: Array, stochastic: bool) -> Out:
        if step.nonfinite or dtype == "f32":
            return Out(want, near, dtype, initial=before)
        if not stochastic:
            return Out(want, near.stored_as(dtype, want), dtype, initial=before)
        which = {"param": 0, "m": 1, "v": 2}[name]
        words = [block(SEED, step.start + i, STREAM_ROUNDING, step.applied)[which] for i in range(n)]
        return Out(*stochastically_rounded(want, near, words, dtype), dtype, initial=before)

    arguments: dict[str, Value] = {
        "param": stored("param", step.param, new, limit, param, not step.master),
        "master": Out(new, limit, initial=master) if master is not None else None,
        "m": stored("m", step.moments, new_m, m_limit, m, True),
        "v": stored("v", step.moments, new_v, v_limit, v, True),
        "grad": In(grad, step.grad),
        "lr": In(lr),
        "scale": In(np.array([step.scale])),
        "nonfinite": In(np.array([step.nonfinite]), "i32"),
        "applied": In(np.array([step.applied]), "i64"),
        "seed": In(np.array([SEED]), "i64") if step.stochastic else None,
        "n": n,
        "start": step.start,
        "beta1": BETA1,
        "beta2": BETA2,
        "eps": EPS,
        "weight_decay": step.decay,
    }
    unseen = {"param.decay"} if step.decay == 0.0 else set()
    if step.nonfinite:
        unseen = {"m.previous", "m.grad", "v.previous", "v.grad", "param.decay", "param.step"}
        if master is not None:  # nothing changes, not even a param that is not its master's rounding
            arguments["param"] = Out(param, exact(param), step.param, initial=param)
    return case(step.name, op, unseen, **arguments)


def cases() -> list[Case]:
    return _sum_cases() + _clip_cases() + [_adamw_case(step) for step in _STEPS]
