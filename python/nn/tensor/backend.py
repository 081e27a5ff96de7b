"""The operation set as an interface: what the model, the training loop and the tests are written against.

Two implementations: nn.tensor.reference (NumPy, readable, the oracle for small shapes) and nn.cuda.native (libcunn's
cpu, cuda and simt devices). nn.cuda.open_backend chooses one.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import Array, DType
from nn.tensor.ops import Ops

__all__ = ["Backend", "Buffer", "Graph"]


class Graph(Protocol):
    """A recorded sequence of operations."""

    @property
    def handle(self) -> int:
        """The library's name for it; -1 on the reference backend, as for a buffer."""

    def close(self) -> None:
        """Forgets the recording now. Closing twice is allowed."""


class Backend(Ops, Protocol):
    """A device with its memory, its operations and its recorded steps.

    Operations run in the order of their calls and may still run when the call returns. A backend is used by one
    thread at a time. Every method raises BackendError.
    """

    @property
    def name(self) -> str:
        """The device: "reference", "cpu", "cuda" or "simt"."""

    @property
    def isa(self) -> str:
        """The instruction set in use ("avx512", "sm_90", "numpy")."""

    @property
    def threads(self) -> int:
        """Host threads that compute, the caller included."""

    # ---------------- memory

    def buffer(self, dtype: DType, count: int) -> Buffer:
        """count elements, zero-filled; a multiple of 32 for q8 and q4."""

    def from_numpy(self, array: Array, dtype: DType | None = None) -> Buffer:
        """A buffer with the values of array, flat, as dtype (by default the one that holds them as they are)."""

    def view(self, buffer: Buffer, offset: int, count: int) -> Buffer:
        """The elements [offset, offset + count) of buffer as a buffer of its own on the same memory."""

    def upload(self, buffer: Buffer, array: Array, offset: int = 0) -> None:
        """Values of array, flat, to the elements from offset on. The array has been read on return."""

    def download(self, buffer: Buffer, offset: int = 0, count: int | None = None) -> Array:
        """The elements [offset, offset + count), by default to the end, in the dtype's NumPy storage; synchronizes."""

    def reader(self, buffer: Buffer) -> Callable[[], Array]:
        """Downloads the whole buffer at every call, each time into the same array: for what is read at every step."""

    # ---------------- order

    def synchronize(self) -> None:
        """Waits for the work submitted so far and reports a bad value that it met."""

    def graph_begin(self) -> None:
        """From here on operations are checked and recorded, and nothing executes."""

    def graph_end(self) -> Graph:
        """Ends the recording."""

    def graph_launch(self, graph: Graph) -> None:
        """Executes what was recorded, on the buffers that were recorded."""

    def graph_dump(self, graph: Graph) -> str:
        """One line of text per recorded operation."""

    # ---------------- lifetime

    def memory(self) -> tuple[int, int]:
        """Bytes of buffers and scratch now, and at most so far."""

    def close(self) -> None:
        """Releases the device and every buffer that was made here. Closing twice is allowed."""

    def __enter__(self) -> Backend: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
