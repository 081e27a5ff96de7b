"""The paged key/value cache: what decoding keeps of the tokens it has seen."""

from __future__ import annotations

from nn.model.config import MoEConfig
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import DType

PAGE_SIZE = 64


class KVCache:
    """Pages [n_pages, page_size, n_kv_heads, head_dim] of keys and of values per layer, for `batch` sequences.

    Sequence b holds `positions[b]` tokens. The block table is the identity: page p of sequence b is page
    b pages_per_sequence + p. `lengths` is set while sequences bring different numbers of new tokens.
    """

    def __init__(self, backend: Backend, config: MoEConfig, dtype: DType, batch: int, capacity: int) -> None:
        self.batch = batch
        self.page_size = PAGE_SIZE
        self.pages_per_sequence = (capacity + PAGE_SIZE - 1) // PAGE_SIZE
        self.n_pages = batch * self.pages_per_sequence
        self.capacity = self.pages_per_sequence * PAGE_SIZE
        count = self.n_pages * PAGE_SIZE * config.n_kv_heads * config.head_dim
        self.k = [backend.buffer(dtype, count) for _ in range(config.n_layers)]
        self.v = [backend.buffer(dtype, count) for _ in range(config.n_layers)]
        self.block_table: Buffer | None = None
        self.positions = backend.buffer(DType.I32, batch)
        self.lengths: Buffer | None = None

    def close(self) -> None:
        """Releases the pages."""
        for buffer in [*self.k, *self.v, self.positions]:
            buffer.close()
