"""A tensor that lives on a device of the library."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from nn.cuda.open import open_backend
from nn.tensor.backend import Backend
from nn.tensor.dtype import Array, DType
from nn.tensor.shape import Shape
from nn.tensor.tensor import Tensor


class GpuTensor(Tensor):
    """A Tensor on device "auto" (cuda when there is one, else cpu), or on the backend given.

    One backend serves every GpuTensor made without one. Errors: those of open_backend.
    """

    @classmethod
    def from_host(cls, array: Array, dtype: DType | None = None, backend: Backend | None = None) -> GpuTensor:
        """The values of array in its shape, as dtype (by default the one that holds them as they are)."""
        return cls.from_numpy(default_backend() if backend is None else backend, array, dtype)

    @classmethod
    def on_device(
        cls, shape: Shape | Iterable[int], dtype: DType = DType.F32, backend: Backend | None = None
    ) -> GpuTensor:
        """Zeros."""
        return cls.zeros(default_backend() if backend is None else backend, shape, dtype)


@functools.cache
def default_backend() -> Backend:
    """The backend of every GpuTensor made without one."""
    return open_backend()
