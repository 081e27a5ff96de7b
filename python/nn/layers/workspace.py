"""Activation buffers, made once and reused by every later step of the same size."""

from __future__ import annotations

from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import DType


class Workspace:
    """Named buffers that only ever grow, so that a steady step allocates nothing.

    What backward needs from forward lives in a workspace of the block's own; blocks share one workspace when nothing
    outlives the block: in inference, and in training with recompute.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._buffers: dict[str, Buffer] = {}
        self.version = 0
        """Grows when a buffer is made or replaced: a graph recorded before then holds buffers that are gone."""

    def get(self, name: str, count: int, dtype: DType = DType.F32) -> Buffer:
        """The buffer called `name` with at least `count` elements; its contents are what was last written there."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.count < count or buffer.dtype != dtype:
            if buffer is not None:
                buffer.close()
            buffer = self.backend.buffer(dtype, max(count, 1))
            self._buffers[name] = buffer
            self.version += 1
        return buffer

    def close(self) -> None:
        """Releases every buffer."""
        for buffer in self._buffers.values():
            buffer.close()
        self._buffers.clear()
