"""A buffer with a shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import Array, DType, values_of
from nn.tensor.shape import Shape

T = TypeVar("T", bound="Tensor")


class Tensor:
    """A row-major tensor on a backend: a buffer, a shape, and the backend that computes on it.

    It adds no arithmetic: operations are the backend's, on buffers, so that nothing is allocated or copied unseen.
    """

    __slots__ = ("backend", "buffer", "shape")

    def __init__(self, backend: Backend, buffer: Buffer, shape: Shape | Iterable[int]) -> None:
        self.backend = backend
        self.buffer = buffer
        self.shape = Shape(shape)
        if self.shape.size != buffer.count:
            raise ValueError(f"shape {self.shape} has {self.shape.size} elements, the buffer {buffer.count}")

    @classmethod
    def zeros(cls: type[T], backend: Backend, shape: Shape | Iterable[int], dtype: DType = DType.F32) -> T:
        shape = Shape(shape)
        return cls(backend, backend.buffer(dtype, shape.size), shape)

    @classmethod
    def from_numpy(cls: type[T], backend: Backend, array: Array, dtype: DType | None = None) -> T:
        """The values of array in its shape, as dtype (by default the one that holds them as they are)."""
        return cls(backend, backend.from_numpy(array, dtype), array.shape)

    @property
    def dtype(self) -> DType:
        return self.buffer.dtype

    def numpy(self) -> Array:
        """The values in the tensor's shape, bf16 widened to float32; waits for pending work."""
        return values_of(self.backend.download(self.buffer), self.dtype).reshape(self.shape)

    def upload(self, array: Array) -> None:
        """Replaces all values."""
        if array.size != self.shape.size:
            raise ValueError(f"an array of {array.size} elements does not fill a tensor of {self.shape}")
        self.backend.upload(self.buffer, array)

    def reshape(self, *sizes: int | Iterable[int]) -> Tensor:
        """The same memory in another shape of the same count; one size may be -1."""
        return Tensor(self.backend, self.buffer, self.shape.reshape(*sizes))

    def view(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop) of the first dimension, on the same memory."""
        if not (self.shape and 0 <= start <= stop <= self.shape[0]):
            raise ValueError(f"rows {start} to {stop} are not within a tensor of {self.shape}")
        row = Shape(self.shape[1:]).size
        part = self.backend.view(self.buffer, start * row, (stop - start) * row)
        return Tensor(self.backend, part, (stop - start, *self.shape[1:]))

    def close(self) -> None:
        self.buffer.close()

    def __repr__(self) -> str:
        return f"Tensor({self.shape}, {self.dtype.label}, {self.backend.name})"
