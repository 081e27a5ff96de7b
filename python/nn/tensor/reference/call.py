"""The arguments of one op, checked one by one, with the sentences of the library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import DType
from nn.tensor.reference.memory import ReferenceBuffer
from nn.tensor.status import BackendError, Status

FLOATS = (DType.F32, DType.BF16, DType.F16)
QUANTIZED = (DType.Q8, DType.Q4)
UNQUANTIZED = (*FLOATS, DType.I32, DType.I64, DType.U8)
F32, I32, I64 = (DType.F32,), (DType.I32,), (DType.I64,)

_I32_MAX, _I64_MAX = 2**31 - 1, 2**63 - 1


@dataclass(frozen=True)
class Extent:
    """How much of a buffer an argument covers: runs of consecutive elements, repeated at strides."""

    total: int
    """Elements from the first to the last, inclusive."""
    dims: tuple[int, ...]
    strides: tuple[int, ...] = ()
    """As the caller gave them, for sentences."""
    stride: int = 0
    """Of the outermost level that repeats; 0: contiguous."""
    span: int = 0
    """Elements within one step of that stride."""
    self_overlap: bool = False

    def __str__(self) -> str:
        text = "x".join(map(str, self.dims))
        if len(self.strides) == 1:
            return f"{text} with leading dimension {self.strides[0]}"
        if self.strides:
            return f"{text} with strides {', '.join(map(str, self.strides[:-1]))} and {self.strides[-1]}"
        return text


def dense(*dims: int) -> Extent:
    """Contiguous elements."""
    return Extent(math.prod(dims), dims)


def rows_of(rows: int, cols: int, ld: int) -> Extent:
    """Rows of cols elements, ld apart."""
    total = (rows - 1) * ld + cols if rows and cols else 0
    apart = total > 0 and rows > 1 and ld != cols
    return Extent(total, (rows, cols), (ld,) if ld != cols else (), ld if apart else 0, cols if apart else 0)


def strided(inner: int, outer: tuple[int, int], middle: tuple[int, int]) -> Extent:
    """inner elements at every combination of two (count, stride) levels, in whatever order they nest."""
    dims, strides = (outer[0], middle[0], inner), (outer[1], middle[1])
    if 0 in dims:
        return Extent(0, dims, strides)
    total, stride, span, overlap = inner, 0, 0, False
    for count, step in sorted((outer, middle), key=lambda level: level[1]):
        if count > 1:
            overlap = overlap or step < total
            stride, span = step, total
            total += (count - 1) * step
    return Extent(total, dims, strides, stride, span, overlap)


@dataclass(frozen=True)
class Access:
    name: str
    buffer: ReferenceBuffer
    begin: int
    """Address of the first byte."""
    bytes: int
    stride: int
    span: int
    """Both in bytes."""
    output: bool
    alias: tuple[str, ...]
    """Outputs that may stand in exactly the same elements."""


@dataclass
class Call:
    """Outputs first, then inputs: each access is checked when it is made, overlaps by the end."""

    op: str
    accesses: list[Access] = field(default_factory=list)
    numbers: list[tuple[str, float]] = field(default_factory=list)
    nothing: bool = False
    """The problem has no elements: everything is checked and nothing runs."""

    def fail(self, text: str) -> NoReturn:
        raise BackendError(Status.INVALID_ARGUMENT, f"{self.op}: {text}")

    def require(self, holds: bool, text: str) -> None:
        if not holds:
            self.fail(text)

    # ---------------- numbers

    def dims(self, **dims: int) -> None:
        """At least 0; remembered for a graph's text."""
        for name, value in dims.items():
            self.at_least(name, value, 0)
            self.numbers.append((name, value))

    def at_least(self, name: str, value: int, least: int) -> None:
        self.require(value >= least, f"{name} is {value}, expected at least {least}")

    def at_most(self, name: str, value: int, most: int, because: str = "") -> None:
        reason = f" ({because})" if because else ""
        self.require(value <= most, f"{name} is {value}, expected at most {most}{reason}")

    def fits_i32(self, name: str, count: int) -> None:
        self.at_most(name, min(count, _I64_MAX), _I32_MAX, "they are numbered in i32")

    def product(self, name: str, a: int, b: int) -> int:
        self.require(a * b <= _I64_MAX, f"{name} is {a}x{b}, which 63 bits cannot count")
        return a * b

    def numbered(self, name: str, start: int, n: int) -> None:
        """n elements that are numbered from start, in 63 bits."""
        self.at_least(name, start, 0)
        self.require(start + n <= _I64_MAX, f"{name} is {start}, which leaves no room for {n} elements in 63 bits")

    def flag(self, name: str, value: bool) -> bool:
        self.require(value in (0, 1), f"{name} is {value}, expected 0 or 1")
        self.numbers.append((name, int(value)))
        return bool(value)

    def real(self, name: str, value: float, least: float = -math.inf) -> float:
        self.require(math.isfinite(value), f"{name} is {value:g}, expected a finite number")
        self.require(value >= least, f"{name} is {value:g}, expected at least {least:g}")
        self.numbers.append((name, float(value)))
        return value

    def real32(self, name: str, value: float, least: float = -math.inf) -> np.float32:
        with np.errstate(over="ignore"):
            narrow = np.float32(self.real(name, value, least))
        self.require(bool(np.isfinite(narrow)), f"{name} is {value:g}, expected a finite f32")
        return narrow

    def fill_value(self, name: str, value: float, dtype: DType) -> None:
        """An integer dtype takes integers in its range, a float dtype takes anything."""
        if not dtype.is_float:
            limits = np.iinfo(dtype.storage)
            holds = math.isfinite(value) and limits.min <= value <= limits.max and value == int(value)
            self.require(holds, f"{name} is {value:g}, expected an integer that {dtype.label} holds")
        self.numbers.append((name, float(value)))

    # ---------------- extents

    def matrix(self, rows: int, cols: int, ld_name: str, ld: int) -> Extent:
        self.at_least(ld_name, ld, cols)
        return rows_of(rows, cols, ld)

    def repeated(
        self, batch: int, stride_name: str, stride: int, rows: int, cols: int, ld_name: str, ld: int
    ) -> Extent:
        """batch matrices, stride elements apart."""
        self.at_least(ld_name, ld, cols)
        self.at_least(stride_name, stride, 0)
        return strided(cols, (batch, stride), (rows, ld))

    # ---------------- buffers

    def out(self, name: str, buffer: Buffer | None, extent: Extent, dtypes: Sequence[DType] = F32) -> ReferenceBuffer:
        return self._access(name, buffer, extent, dtypes, True, ())

    def into(
        self, name: str, buffer: Buffer, extent: Extent, dtypes: Sequence[DType] = F32, alias: tuple[str, ...] = ()
    ) -> ReferenceBuffer:
        """An input; alias names the outputs that may stand in its elements."""
        return self._access(name, buffer, extent, dtypes, False, alias)

    def into_or_none(
        self,
        name: str,
        buffer: Buffer | None,
        extent: Extent,
        dtypes: Sequence[DType] = F32,
        alias: tuple[str, ...] = (),
    ) -> ReferenceBuffer | None:
        return None if buffer is None else self._access(name, buffer, extent, dtypes, False, alias)

    def same_dtype(self, name: str, buffer: Buffer, like: str, expected: Buffer) -> None:
        self.require(
            buffer.dtype == expected.dtype,
            f"{name} is {buffer.dtype.label}, expected {expected.dtype.label} like {like}",
        )

    def _access(
        self,
        name: str,
        buffer: Buffer | None,
        extent: Extent,
        dtypes: Sequence[DType],
        output: bool,
        alias: tuple[str, ...],
    ) -> ReferenceBuffer:
        if buffer is None:
            self.fail(f"{name} is 0, expected a buffer")
        if not isinstance(buffer, ReferenceBuffer):
            self.fail(f"{name} is of another backend, expected a buffer of reference")
        if buffer.storage is None:
            self.fail(f"{name} was destroyed or never existed, expected a buffer")
        if buffer.dtype not in dtypes:
            names = [dtype.label for dtype in sorted(dtypes)]
            expected = " or ".join(([", ".join(names[:-1])] if len(names) > 1 else []) + names[-1:])
            self.fail(f"{name} is {buffer.dtype.label}, expected {expected}")
        if extent.total > buffer.count:
            shape = str(extent)
            if extent.total > _I64_MAX:
                shape += ", which 63 bits cannot count"
            elif len(extent.dims) > 1 or extent.strides:
                shape += f" = {extent.total}"
            self.fail(f"{name} holds {buffer.count} elements, expected at least {shape}")
        if output and extent.self_overlap:
            self.fail(f"{name} is {extent}, expected strides that keep its rows apart")
        size = buffer.storage.itemsize
        begin = int(buffer.storage.__array_interface__["data"][0])
        covered = buffer.dtype.bytes(extent.total)
        self.accesses.append(
            Access(name, buffer, begin, covered, extent.stride * size, extent.span * size, output, alias)
        )
        return buffer

    # ---------------- all together

    def check_overlaps(self) -> None:
        """Outputs against everything that was named after them."""
        for i, out in enumerate(self.accesses):
            for other in self.accesses[i + 1 :] if out.output else ():
                if _disjoint(out, other):
                    continue
                if out.name not in other.alias:
                    self.fail(f"{out.name} overlaps {other.name}, expected memory of its own")
                same = out.begin == other.begin and out.stride == other.stride
                if not same or out.buffer.dtype != other.buffer.dtype:
                    self.fail(f"{out.name} overlaps {other.name}, expected exactly the same elements or none")

    def line(self) -> str:
        """The op's line in a graph's text."""
        words = [self.op, *(f"{access.name}:{access.buffer.dtype.label}" for access in self.accesses)]
        words += [
            f"{name}={value}" if isinstance(value, int) else f"{name}={value:.9g}" for name, value in self.numbers
        ]
        return " ".join(words)


def _disjoint(a: Access, b: Access) -> bool:
    if not a.bytes or not b.bytes or a.begin + a.bytes <= b.begin or b.begin + b.bytes <= a.begin:
        return True
    # Interleaved rows, such as q, k and v in one matrix: apart when both step alike and their rows fit side by side.
    if not a.stride or a.stride != b.stride:
        return False
    offset = (b.begin - a.begin) % a.stride
    return offset >= a.span and offset + b.span <= a.stride
