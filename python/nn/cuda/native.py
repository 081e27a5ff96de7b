"""The library's devices behind the Backend protocol.

An operation is one call through cffi, which releases the interpreter's lock while it runs; what is recorded in a
graph is one call for the whole step.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from nn import messages
from nn.cuda.library import DEVICES, Library, ffi, library
from nn.cuda.ops import NativeOps
from nn.tensor.backend import Graph
from nn.tensor.buffer import Buffer
from nn.tensor.dtype import Array, DType, storage_of
from nn.tensor.status import BackendError, Status

_CONTEXT_IN_USE = "the context is in use by another thread"


def _release(lib: Any, context: int, live: set[int]) -> None:
    while live:
        lib.cunn_buffer_destroy(context, live.pop())
    lib.cunn_context_destroy(context)


class NativeBuffer:
    """Memory of a device, given back by close() or, failing that, some time after the last reference went."""

    __slots__ = ("__weakref__", "_backend", "count", "dtype", "handle")

    def __init__(self, backend: NativeBackend, handle: int, dtype: DType, count: int) -> None:
        self._backend = backend
        self.handle = handle
        self.dtype = dtype
        self.count = count

    def close(self) -> None:
        self._backend._destroy_buffer(self.handle)

    def __del__(self) -> None:
        # This may run in any thread, in the middle of a call or of a recording: only note the handle here.
        self._backend._abandoned.append(self.handle)

    def __repr__(self) -> str:
        return f"NativeBuffer({self.dtype.label}, {self.count})"


class NativeGraph:
    """A recorded step. It does not keep the recorded buffers alive; it goes with its backend at the latest."""

    __slots__ = ("_backend", "handle")

    def __init__(self, backend: NativeBackend, handle: int) -> None:
        self._backend = backend
        self.handle = handle

    def close(self) -> None:
        self._backend._destroy_graph(self.handle)


class NativeBackend(NativeOps):
    """A context of libcunn: a device, its stream, its threads and its buffers."""

    def __init__(
        self,
        device: str = "cpu",
        *,
        ordinal: int = 0,
        threads: int = 0,
        isa: str | None = None,
        source: Library | None = None,
    ) -> None:
        """threads: host threads including the caller, 0 for all; isa: "scalar", "avx2", "avx512" on cpu, or the best.

        Raises NNError when the library or the device is absent.
        """
        self.library = source if source is not None else library(device)
        self._lib = self.library.lib
        self._context = 0
        self._device = device
        self._recording = False
        self._abandoned: deque[int] = deque()
        self._live: set[int] = set()
        self._graphs: set[int] = set()
        if not self.library.device_count(device):
            raise messages.device_missing(name=device, reason=self.library.device_note(device))
        out = ffi.new("cunn_context *")
        text = ffi.NULL if isa is None else ffi.new("char[]", isa.encode())
        status = self._lib.cunn_context_create(out, DEVICES.index(device), ordinal, threads, text)
        self._context = int(out[0])
        if status:
            failure = self._failure(status)
            self._lib.cunn_context_destroy(self._context)
            self._context = 0
            raise failure
        # For a close() that was forgotten: runs with the last reference, or at exit.
        self._finalizer = weakref.finalize(self, _release, self._lib, self._context, self._live)

    # ---------------- what it is

    @property
    def name(self) -> str:
        return self._device

    @property
    def isa(self) -> str:
        return str(ffi.string(self._lib.cunn_context_isa(self._context)).decode())

    @property
    def threads(self) -> int:
        count = ffi.new("int32_t *")
        self._check(self._lib.cunn_context_threads(self._context, count))
        return int(count[0])

    def memory(self) -> tuple[int, int]:
        """Bytes of buffers and scratch now, and at most so far."""
        now, peak = ffi.new("int64_t *"), ffi.new("int64_t *")
        self._check(self._lib.cunn_context_memory(self._context, now, peak))
        return int(now[0]), int(peak[0])

    # ---------------- errors

    def _failure(self, status: int) -> BackendError:
        if status == Status.BUSY:  # the sentence belongs to the call that is still running
            return BackendError(Status.BUSY, _CONTEXT_IN_USE)
        text = ffi.string(self._lib.cunn_context_error(self._context)).decode("utf-8", "replace")
        return BackendError(Status(status), text or ffi.string(self._lib.cunn_status_name(status)).decode())

    def _check(self, status: int) -> None:
        if status:
            raise self._failure(status)

    # ---------------- memory

    def buffer(self, dtype: DType, count: int) -> NativeBuffer:
        self._destroy_abandoned()
        out = ffi.new("cunn_buffer *")
        self._check(self._lib.cunn_buffer_create(self._context, out, dtype, count))
        return self._adopt(out, dtype, count)

    def from_numpy(self, array: Array, dtype: DType | None = None) -> NativeBuffer:
        dtype = DType.of(array) if dtype is None else dtype
        storage = storage_of(array, dtype)
        buffer = self.buffer(dtype, dtype.count_of(storage.size))
        self._upload(buffer, storage, 0)
        return buffer

    def wrap(self, array: Array, dtype: DType | None = None) -> NativeBuffer:
        """Borrows the memory of a contiguous array, which must outlive the buffer; cpu only."""
        dtype = DType.of(array) if dtype is None else dtype
        if not array.flags.c_contiguous or array.dtype != dtype.storage:
            raise TypeError(f"only a contiguous array of {dtype.storage} can be borrowed as {dtype.label}")
        self._destroy_abandoned()
        count = dtype.count_of(array.size)
        pointer = ffi.cast("void *", array.ctypes.data)
        out = ffi.new("cunn_buffer *")
        self._check(self._lib.cunn_buffer_wrap(self._context, out, dtype, count, pointer))
        return self._adopt(out, dtype, count)

    def view(self, buffer: Buffer, offset: int, count: int) -> NativeBuffer:
        self._destroy_abandoned()
        out = ffi.new("cunn_buffer *")
        self._check(self._lib.cunn_buffer_view(self._context, out, buffer.handle, offset, count))
        return self._adopt(out, buffer.dtype, count)

    def upload(self, buffer: Buffer, array: Array, offset: int = 0) -> None:
        self._upload(buffer, storage_of(array, buffer.dtype), offset)

    def _upload(self, buffer: Buffer, storage: Array, offset: int) -> None:
        count = buffer.dtype.count_of(storage.size)
        host = ffi.from_buffer(storage)
        self._check(self._lib.cunn_buffer_upload(self._context, buffer.handle, offset, count, host))

    def download(self, buffer: Buffer, offset: int = 0, count: int | None = None) -> Array:
        count = buffer.count - offset if count is None else count
        storage = np.empty(max(buffer.dtype.storage_count(count), 0), buffer.dtype.storage)
        host = ffi.from_buffer(storage)
        self._check(self._lib.cunn_buffer_download(self._context, host, buffer.handle, offset, count))
        return storage

    def reader(self, buffer: Buffer) -> Callable[[], Array]:
        array = np.zeros(buffer.dtype.storage_count(buffer.count), buffer.dtype.storage)
        host, download, context = ffi.from_buffer(array), self._lib.cunn_buffer_download, self._context

        def read() -> Array:
            status = download(context, host, buffer.handle, 0, buffer.count)
            if status:
                raise self._failure(status)
            return array

        return read

    def _adopt(self, out: Any, dtype: DType, count: int) -> NativeBuffer:
        handle = int(out[0])
        self._live.add(handle)
        return NativeBuffer(self, handle, dtype, count)

    def _destroy_buffer(self, handle: int) -> None:
        if handle in self._live:
            self._check(self._lib.cunn_buffer_destroy(self._context, handle))
            self._live.discard(handle)

    def _destroy_abandoned(self) -> None:
        while self._abandoned and not self._recording:
            self._destroy_buffer(self._abandoned.popleft())

    # ---------------- order

    def synchronize(self) -> None:
        self._check(self._lib.cunn_context_synchronize(self._context))

    def graph_begin(self) -> None:
        self._check(self._lib.cunn_graph_begin(self._context))
        self._recording = True

    def graph_end(self) -> NativeGraph:
        self._recording = False
        out = ffi.new("cunn_graph *")
        self._check(self._lib.cunn_graph_end(self._context, out))
        self._graphs.add(int(out[0]))
        return NativeGraph(self, int(out[0]))

    def graph_launch(self, graph: Graph) -> None:
        status = self._lib.cunn_graph_launch(self._context, graph.handle)
        if status:
            raise self._failure(status)

    def graph_dump(self, graph: Graph) -> str:
        length, text = ffi.new("int64_t *"), ffi.new("char[]", 1)
        self._check(self._lib.cunn_graph_dump(self._context, text, length, graph.handle, 1))
        capacity = int(length[0]) + 1
        text = ffi.new("char[]", capacity)
        self._check(self._lib.cunn_graph_dump(self._context, text, length, graph.handle, capacity))
        return str(ffi.string(text).decode())

    def _destroy_graph(self, handle: int) -> None:
        if handle in self._graphs:
            self._check(self._lib.cunn_graph_destroy(self._context, handle))
            self._graphs.discard(handle)

    # ---------------- lifetime

    def close(self) -> None:
        """Destroys every buffer made here and the context; buffers still referenced become unusable."""
        self._context = 0
        self._abandoned.clear()
        self._graphs.clear()
        self._finalizer()

    def __enter__(self) -> NativeBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"NativeBackend({self._device})" if self._context else "NativeBackend(closed)"
