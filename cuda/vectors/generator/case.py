"""Cases, bounds and terms: what a family module is made of.

A family module has `cases() -> list[Case]` and, where it has a backward, `gradient_checks() -> list[GradientCheck]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .header import read_ops
from .numbers import EPS_F32, FLOATS, SMALLEST_NORMAL, Array, ulp

OPS = read_ops()
MAX_C = 4.0
EVERY_TERM = frozenset({"*"})  # for a case whose expectation is stated without the named terms


# ---------------------------------------------------------------- bounds


@dataclass(frozen=True)
class Bound:
    """|got - want| <= array, element by element, and how it was made: one "c:..,k:..,eps:.." per summand."""

    array: Array
    parts: tuple[str, ...]

    def __add__(self, other: Bound) -> Bound:
        return Bound(self.array + other.array, self.parts + other.parts)

    def stored_as(self, dtype: str, want: npt.ArrayLike) -> Bound:
        """Adds the rounding to a 16-bit output: half the spacing at the largest value that the op may have rounded."""
        if dtype == "f32":
            return self
        half = 0.5 * ulp(np.abs(np.asarray(want, dtype=np.float64)) + self.array, dtype)
        return Bound(self.array + half, (*self.parts, f"half_ulp:{dtype}"))


def bound(
    c: float, k: npt.ArrayLike, magnitude: npt.ArrayLike, eps: float = EPS_F32, flush: npt.ArrayLike = 0.0
) -> Bound:
    """c sqrt(k) eps magnitude, with k the number of roundings in a row and magnitude the sum of the absolute terms.

    flush multiplies the smallest normal f32: an intermediate below it may be taken as 0.
    """
    if not 0.0 < c <= MAX_C:
        raise ValueError(f"c is {c}; a bound that needs more than {MAX_C} is not derived")
    k_array = np.asarray(k, dtype=np.float64)
    array = c * np.sqrt(k_array) * eps * np.asarray(magnitude, dtype=np.float64)
    array = array + SMALLEST_NORMAL * np.asarray(flush, dtype=np.float64)
    return Bound(array, (f"c:{c:g},k:{int(k_array.max(initial=0))},eps:{eps:.8g}",))


def exact(want: npt.ArrayLike) -> Bound:
    """No difference at all."""
    return Bound(np.zeros(np.shape(want)), ())


# ---------------------------------------------------------------- arguments of a call


@dataclass(frozen=True)
class In:
    """A buffer that the op reads. count: elements, when they are packed into fewer or more bytes (q8, q4)."""

    data: npt.NDArray[np.generic]
    dtype: str = "f32"
    count: int | None = None


@dataclass(frozen=True)
class Out:
    """A buffer that the op writes. initial: what it holds before (None: the runner fills it with garbage)."""

    want: npt.NDArray[np.generic]
    limit: Bound | None = None
    dtype: str = "f32"
    initial: npt.NDArray[np.generic] | None = None
    count: int | None = None


@dataclass(frozen=True)
class Unchecked:
    """A buffer that the op writes and that no expectation is stated for."""

    dtype: str
    count: int


@dataclass(frozen=True)
class Same:
    """The same buffer as another argument, where the header allows aliasing; want is what it holds afterwards."""

    other: str
    want: npt.NDArray[np.generic] | None = None
    limit: Bound | None = None


Buffer = In | Out | Unchecked | Same | None
Value = Buffer | int | float


@dataclass
class Case:
    """One call of one op. insensitive: terms of its formula that this case has no use for, and so cannot tell."""

    name: str
    op: str
    arguments: dict[str, Value]
    insensitive: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        declared = OPS[self.op]
        if [a.name for a in declared] != list(self.arguments):
            raise ValueError(f"{self.name}: cunn.h declares {self.op}({', '.join(a.name for a in declared)})")
        for argument in declared:
            value = self.arguments[argument.name]
            kind = "double" if isinstance(value, float) else "int" if isinstance(value, int) else "buffer"
            if kind != {"i32": "int", "i64": "int"}.get(argument.kind, argument.kind):
                raise ValueError(f"{self.name}: {argument.name} is a {argument.kind} in cunn.h")
            if not isinstance(value, Out) or value.dtype not in FLOATS:
                continue
            if value.limit is None or value.limit.array.shape != value.want.shape:
                raise ValueError(f"{self.name}: {argument.name} needs a bound of shape {value.want.shape}")

    def outputs(self) -> Iterator[tuple[str, Out | Same]]:
        """The arguments with an expectation."""
        for name, value in self.arguments.items():
            if isinstance(value, Out) or (isinstance(value, Same) and value.want is not None):
                yield name, value


def case(name: str, op: str, insensitive: Set[str] = frozenset(), /, **arguments: Value) -> Case:
    """A case called op.name, so that one name says what runs."""
    return Case(f"{op}.{name}", op, arguments, frozenset(insensitive))


# ---------------------------------------------------------------- terms and their mutants


class _Mutation:
    """Which term is changed at this moment, and every term seen so far: op -> names in order of use."""

    def __init__(self) -> None:
        self.active: tuple[str, str, float] | None = None
        self.seen: dict[str, dict[str, None]] = {}


_MUTATION = _Mutation()


def terms(op: str) -> Callable[[str, Array], Array]:
    """Names the summands of an op's formula: t("dx.mean", value) is value, unless a mutant drops or negates it."""

    def term(name: str, value: Array) -> Array:
        _MUTATION.seen.setdefault(op, {})[name] = None
        if _MUTATION.active is not None and _MUTATION.active[:2] == (op, name):
            return value * _MUTATION.active[2]
        return value

    return term


@contextmanager
def mutated(op: str, term: str, factor: float) -> Iterator[None]:
    """Within this block the term is multiplied by factor: 0 drops it, -1 flips its sign."""
    _MUTATION.active = (op, term, factor)
    try:
        yield
    finally:
        _MUTATION.active = None


def seen_terms() -> dict[str, list[str]]:
    """Every term that the formulas have named so far."""
    return {op: list(names) for op, names in _MUTATION.seen.items()}


# ---------------------------------------------------------------- gradients against finite differences


@dataclass(frozen=True)
class GradientCheck:
    """The generator's gradient of loss at point; op is the backward op whose formula made it."""

    op: str
    name: str
    loss: Callable[[Array], float]
    point: Array
    gradient: Array


def strided(rows: Array, ld: int, fill: float) -> Array:
    """[r, c] -> a flat buffer whose rows stand ld elements apart, fill in between."""
    count, cols = rows.shape
    out = np.full((count, ld), fill)
    out[:, :cols] = rows
    return out.reshape(-1)
