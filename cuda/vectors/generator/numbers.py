"""Element types, their rounding in float64 arithmetic, and reproducible inputs.

Inside the generator every float is a float64 that holds exactly a value of its storage dtype. Nothing here uses
float32 arithmetic, so the expectations are those of real numbers, not of one way to round.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FloatType:
    """A binary float: p significant bits (the hidden one included), smallest exponent of a normal number."""

    name: str
    precision: int
    min_exponent: int
    max_value: float

    @property
    def eps(self) -> float:
        """Distance from 1 to the next number; one rounding is off by at most eps / 2, relatively."""
        return 2.0 ** (1 - self.precision)


FLOATS = {
    "f32": FloatType("f32", 24, -126, float(np.finfo(np.float32).max)),
    "bf16": FloatType("bf16", 8, -126, float.fromhex("0x1.fep127")),
    "f16": FloatType("f16", 11, -14, 65504.0),
}
EPS_F32 = FLOATS["f32"].eps
EPS_F64 = 2.0**-52
SMALLEST_NORMAL = 2.0**-126


def ulp(x: npt.ArrayLike, dtype: str) -> Array:
    """Spacing of dtype's numbers at |x|."""
    kind = FLOATS[dtype]
    _, exponent = np.frexp(np.abs(np.asarray(x, dtype=np.float64)))
    exponent = np.maximum(exponent - 1, kind.min_exponent)
    return np.asarray(np.ldexp(1.0, exponent - (kind.precision - 1)), dtype=np.float64)


def round_to(x: npt.ArrayLike, dtype: str) -> Array:
    """x rounded once to dtype, to nearest even; beyond the largest value becomes infinite."""
    x = np.asarray(x, dtype=np.float64)
    spacing = ulp(np.where(np.isfinite(x), x, 0.0), dtype)
    rounded = np.where(np.isfinite(x), np.rint(x / spacing) * spacing, x)
    return np.where(np.abs(rounded) > FLOATS[dtype].max_value, np.copysign(np.inf, x), rounded)


def to_bytes(x: npt.NDArray[np.generic], dtype: str) -> bytes:
    """Little-endian bytes of x in its storage dtype; floats must be exact in it."""
    if dtype in FLOATS:
        values = np.asarray(x, dtype=np.float64)
        exact = round_to(values, dtype)
        if not np.array_equal(exact, values, equal_nan=True):
            raise ValueError(f"an input is not a {dtype} number")
        if dtype == "f16":
            return values.astype("<f2").tobytes()
        with np.errstate(over="ignore"):
            bits = values.astype("<f4").view("<u4")
        return bits.tobytes() if dtype == "f32" else (bits >> 16).astype("<u2").tobytes()
    return np.asarray(x).astype({"i32": "<i4", "i64": "<i8", "u8": "u1", "q8": "u1", "q4": "u1"}[dtype]).tobytes()


class Inputs:
    """Random inputs of one case: Philox keyed by the case's name, integers only, so the same on every machine."""

    def __init__(self, name: str) -> None:
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        self._generator = np.random.Philox(key=key)

    def integers(self, shape: int | tuple[int, ...], low: int, high: int) -> IntArray:
        """Uniform integers in [low, high)."""
        count = int(np.prod(shape))
        raw = self._generator.random_raw(count).reshape(shape) >> np.uint64(33)
        return low + (raw % np.uint64(high - low)).astype(np.int64)

    def floats(self, shape: int | tuple[int, ...], dtype: str = "f32", scale: float = 1.0) -> Array:
        """Values of a triangular distribution on (-2 scale, 2 scale), rounded to dtype."""
        a = self.integers(shape, 0, 1 << 20)
        b = self.integers(shape, 0, 1 << 20)
        return round_to((a + b - (1 << 20)) * (2.0**-19) * scale, dtype)

    def permutation(self, n: int) -> IntArray:
        """A shuffled 0 .. n-1."""
        return np.argsort(self.integers(n, 0, 1 << 30), kind="stable").astype(np.int64)
