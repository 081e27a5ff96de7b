"""Buffers of the reference backend: NumPy arrays, read and written through windows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from nn.tensor.dtype import Array, DType, bf16_from_f32, f32_from_bf16

FloatArray = npt.NDArray[np.float32]


class ReferenceBuffer:
    """A flat array in the dtype's storage; a view shares the array of the buffer it was taken from."""

    __slots__ = ("count", "dtype", "storage")

    handle = -1

    def __init__(self, storage: Array, dtype: DType, count: int) -> None:
        self.storage: Array | None = storage
        self.dtype = dtype
        self.count = count

    @property
    def data(self) -> Array:
        assert self.storage is not None  # Call.access has refused a closed buffer
        return self.storage

    def close(self) -> None:
        self.storage = None

    def __repr__(self) -> str:
        return f"ReferenceBuffer({self.dtype.label}, {self.count})"


def window(buffer: ReferenceBuffer, shape: tuple[int, ...], strides: tuple[int, ...] | None = None) -> Array:
    """The storage as an array of this shape, strides counted in elements; dense by default. Writable."""
    data = buffer.data
    if strides is None:
        return data[: int(np.prod(shape))].reshape(shape)
    return strided_window(data, shape, strides)


def strided_window(data: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """A flat array as one of this shape, strides counted in elements."""
    return as_strided(data, shape, tuple(stride * data.itemsize for stride in strides))


def load(buffer: ReferenceBuffer, shape: tuple[int, ...], strides: tuple[int, ...] | None = None) -> FloatArray:
    """The window's values as f32: a view of an f32 buffer, a widened copy of a 16-bit one."""
    part = window(buffer, shape, strides)
    if buffer.dtype is DType.BF16:
        return f32_from_bf16(part)
    return part.astype(np.float32, copy=False)


def store(buffer: ReferenceBuffer, values: Array, strides: tuple[int, ...] | None = None) -> None:
    """Writes values through a window of their shape, rounded to nearest even."""
    window(buffer, values.shape, strides)[...] = bf16_from_f32(values) if buffer.dtype is DType.BF16 else values


def rounded(values: FloatArray, dtype: DType) -> FloatArray:
    """The values after a round trip through a float dtype."""
    if dtype is DType.BF16:
        return f32_from_bf16(bf16_from_f32(values))
    return values.astype(np.float16).astype(np.float32) if dtype is DType.F16 else values
