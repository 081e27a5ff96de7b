"""Dimensions of a row-major tensor."""

from __future__ import annotations

import math
from collections.abc import Iterable


class Shape(tuple[int, ...]):
    """Sizes of the dimensions, outermost first; a tuple that knows its element count and strides."""

    __slots__ = ()

    def __new__(cls, *sizes: int | Iterable[int]) -> Shape:
        flat = [size for item in sizes for size in ((item,) if isinstance(item, int) else item)]
        if any(size < 0 for size in flat):
            raise ValueError(f"a dimension is negative: {'x'.join(map(str, flat))}")
        return super().__new__(cls, flat)

    @property
    def rank(self) -> int:
        return len(self)

    @property
    def size(self) -> int:
        """Number of elements, 1 for a scalar."""
        return math.prod(self)

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours in each dimension."""
        return tuple(math.prod(self[axis + 1 :]) for axis in range(len(self)))

    def reshape(self, *sizes: int | Iterable[int]) -> Shape:
        """The shape of the same count given by sizes, of which one may be -1."""
        flat = [size for item in sizes for size in ((item,) if isinstance(item, int) else item)]
        if flat.count(-1) == 1:
            known = math.prod(size for size in flat if size != -1)
            if known > 0 and self.size % known == 0:
                flat[flat.index(-1)] = self.size // known
        if -1 in flat or math.prod(flat) != self.size:
            raise ValueError(f"cannot reshape {self} ({self.size} elements) to {'x'.join(map(str, flat))}")
        return Shape(flat)

    def __str__(self) -> str:
        """As in the library's sentences: 4x768."""
        return "x".join(map(str, self)) if self else "scalar"
