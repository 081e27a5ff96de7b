"""What an operation reads and writes."""

from __future__ import annotations

from typing import Protocol

from nn.tensor.dtype import DType


class Buffer(Protocol):
    """A flat run of count elements of one dtype on one backend; shapes belong to the operations and to Tensor."""

    @property
    def dtype(self) -> DType: ...

    @property
    def count(self) -> int: ...

    @property
    def handle(self) -> int:
        """The library's name for it, which no other library takes; -1 on the reference backend, which has no use for
        one."""

    def close(self) -> None:
        """Gives the memory back now instead of when the last reference goes. Closing twice is allowed."""
