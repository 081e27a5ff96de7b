"""Memory, order and recording of the reference backend; what the families of ops are built on."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

import numpy as np

from nn.tensor.backend import Graph
from nn.tensor.buffer import Buffer
from nn.tensor.dtype import QUANT_BLOCK, Array, DType, storage_of
from nn.tensor.reference.call import Call
from nn.tensor.reference.memory import ReferenceBuffer, window
from nn.tensor.status import BackendError, Status

Self = TypeVar("Self", bound="Base")


@dataclass(frozen=True)
class Step:
    """A recorded op: what it does, the buffers it does it on, its line of text."""

    run: Callable[[], None]
    buffers: tuple[tuple[str, ReferenceBuffer], ...]
    line: str


class Ledger:
    """Bytes of the arrays that are alive, and their maximum."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def add(self, storage: Array) -> None:
        self.now += storage.nbytes
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, storage.nbytes)

    def _gone(self, size: int) -> None:
        self.now -= size


class ReferenceGraph:
    """Recorded ops, kept as closures."""

    __slots__ = ("steps",)

    handle = -1

    def __init__(self) -> None:
        self.steps: list[Step] | None = []

    def close(self) -> None:
        self.steps = None


class Base:
    """An op checks its arguments with a Call and submits a closure, which runs now or is recorded.

    A value that lives in a buffer (an id, an offset, a position) is checked when the closure runs; a bad one leaves
    the outputs untouched and is raised by the next synchronize or download.
    """

    name = "reference"
    isa = "numpy"
    threads = 1

    def __init__(self) -> None:
        self._recording: ReferenceGraph | None = None
        self._fault = ""
        self._ledger = Ledger()

    # ---------------- memory

    def buffer(self, dtype: DType, count: int) -> ReferenceBuffer:
        self._refuse_while_recording("buffer_create")
        if count < 0:
            raise _invalid(f"buffer_create: count is {count}, expected at least 0")
        _check_multiple("buffer_create", "count", count, dtype)
        try:
            storage = np.zeros(dtype.storage_count(count), dtype.storage)
        except (MemoryError, ValueError, OverflowError):
            text = f"no memory for {count} elements of {dtype.label} ({dtype.bytes(count)} bytes)"
            raise BackendError(Status.OUT_OF_MEMORY, f"buffer_create: {text}") from None
        self._ledger.add(storage)
        return ReferenceBuffer(storage, dtype, count)

    def from_numpy(self, array: Array, dtype: DType | None = None) -> ReferenceBuffer:
        dtype = DType.of(array) if dtype is None else dtype
        storage = storage_of(array, dtype)
        buffer = self.buffer(dtype, dtype.count_of(storage.size))
        buffer.data[...] = storage
        return buffer

    def view(self, buffer: Buffer, offset: int, count: int) -> ReferenceBuffer:
        own, begin, end = self._range("buffer_view", buffer, offset, count)
        return ReferenceBuffer(own.data[begin:end], own.dtype, count)

    def upload(self, buffer: Buffer, array: Array, offset: int = 0) -> None:
        self._refuse_while_recording("buffer_upload")
        storage = storage_of(array, buffer.dtype)
        own, begin, end = self._range("buffer_upload", buffer, offset, buffer.dtype.count_of(storage.size))
        own.data[begin:end] = storage

    def download(self, buffer: Buffer, offset: int = 0, count: int | None = None) -> Array:
        self._refuse_while_recording("buffer_download")
        count = buffer.count - offset if count is None else count
        own, begin, end = self._range("buffer_download", buffer, offset, count)
        self.synchronize()
        return own.data[begin:end].copy()

    def reader(self, buffer: Buffer) -> Callable[[], Array]:
        array = self.download(buffer)

        def read() -> Array:
            array[:] = self.download(buffer)
            return array

        return read

    def memory(self) -> tuple[int, int]:
        """Bytes of buffers now, and at most so far."""
        return self._ledger.now, self._ledger.peak

    def _range(self, op: str, buffer: Buffer, offset: int, count: int) -> tuple[ReferenceBuffer, int, int]:
        """The storage range of the elements [offset, offset + count)."""
        if not isinstance(buffer, ReferenceBuffer):
            raise _invalid(f"{op}: buffer is of another backend, expected a buffer of reference")
        if buffer.storage is None:
            raise _invalid(f"{op}: buffer was destroyed or never existed, expected a buffer")
        for name, value in (("offset", offset), ("count", count)):
            if value < 0:
                raise _invalid(f"{op}: {name} is {value}, expected at least 0")
        if offset + count > buffer.count:
            within = f"at most the {buffer.count} elements of the buffer"
            raise _invalid(f"{op}: offset {offset} and count {count}, expected {within}")
        for name, value in (("offset", offset), ("count", count)):
            _check_multiple(op, name, value, buffer.dtype)
        return buffer, buffer.dtype.storage_count(offset), buffer.dtype.storage_count(offset + count)

    # ---------------- order

    def submit(self, call: Call, run: Callable[[], None]) -> None:
        """Runs a checked op, or records it."""
        call.check_overlaps()
        if call.nothing:
            return
        if self._recording is not None and self._recording.steps is not None:
            buffers = tuple((access.name, access.buffer) for access in call.accesses)
            self._recording.steps.append(Step(run, buffers, call.line()))
        else:
            _quietly(run)

    def synchronize(self) -> None:
        self._refuse_while_recording("context_synchronize")
        fault, self._fault = self._fault, ""
        if fault:
            raise BackendError(Status.DEVICE, fault)

    def good(self, op: str, name: str, values: Array, limit: int, least: int = 0) -> bool:
        """Whether every value is in [least, limit)."""
        flat = values.reshape(-1)
        return self.all_good(op, name, flat, (flat >= least) & (flat < limit), f"expected {least} to {limit - 1}")

    def all_good(self, op: str, name: str, values: Array, good: Array, else_: str) -> bool:
        """Whether every value is; the first one that is not is reported, with what was expected."""
        bad = np.flatnonzero(~good)
        if bad.size:
            self.report(f"{op}: {name}[{bad[0]}] is {values[bad[0]]}, {else_}")
        return not bad.size

    def report(self, fault: str) -> None:
        """Keeps the first fault for the next synchronize."""
        self._fault = self._fault or fault

    def lengths_of(self, op: str, lengths: ReferenceBuffer | None, batch: int, full: int) -> list[int] | None:
        """Tokens of each sequence, all of them full without lengths; None after a bad value."""
        if lengths is None:
            return [full] * batch
        values = window(lengths, (batch,))
        return [int(value) for value in values] if self.good(op, "lengths", values, full + 1) else None

    def graph_begin(self) -> None:
        if self._recording is not None:
            raise _invalid("graph_begin: not allowed between graph_begin and graph_end")
        self._recording = ReferenceGraph()

    def graph_end(self) -> ReferenceGraph:
        if self._recording is None:
            raise _invalid("graph_end: nothing is being recorded")
        graph, self._recording = self._recording, None
        return graph

    def graph_launch(self, graph: Graph) -> None:
        self._refuse_while_recording("graph_launch")
        for step in self._steps("graph_launch", graph):
            for name, buffer in step.buffers:
                if buffer.storage is None:
                    raise _invalid(f"graph_launch: a recorded buffer, first used as {name}, was destroyed")
        for step in self._steps("graph_launch", graph):
            _quietly(step.run)

    def graph_dump(self, graph: Graph) -> str:
        return "".join(step.line + "\n" for step in self._steps("graph_dump", graph))

    def _steps(self, op: str, graph: Graph) -> list[Step]:
        if not isinstance(graph, ReferenceGraph) or graph.steps is None:
            raise _invalid(f"{op}: graph was destroyed or never existed, expected a graph")
        return graph.steps

    def _refuse_while_recording(self, op: str) -> None:
        if self._recording is not None:
            raise _invalid(f"{op}: not allowed between graph_begin and graph_end")

    # ---------------- lifetime

    def close(self) -> None:
        """Nothing to release: the arrays go with their buffers."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_multiple(op: str, name: str, value: int, dtype: DType) -> None:
    if dtype.is_quantized and value % QUANT_BLOCK:
        raise _invalid(f"{op}: {name} is {value}, expected a multiple of {QUANT_BLOCK} for {dtype.label}")


def _invalid(text: str) -> BackendError:
    return BackendError(Status.INVALID_ARGUMENT, text)


def _quietly(run: Callable[[], None]) -> None:
    """As on the devices, overflow gives infinity and 0/0 gives NaN, without a warning."""
    with np.errstate(all="ignore"):
        run()
