"""The paged KV cache: appending new tokens, and attention of new tokens over it."""

from __future__ import annotations

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import Array
from nn.tensor.reference.attention import Heads, masked, over_keys
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import FLOATS, I32, Call, dense
from nn.tensor.reference.memory import ReferenceBuffer, load, store, window
from nn.tensor.reference.softmax import logsumexp

PAGE_MULTIPLE = 64


class Cache(Base):
    def cache_append(
        self,
        k_cache: Buffer,
        v_cache: Buffer,
        k: Buffer,
        v: Buffer,
        block_table: Buffer | None,
        positions: Buffer,
        lengths: Buffer | None,
        batch: int,
        new_len: int,
        n_kv_heads: int,
        head_dim: int,
        page_size: int,
        pages_per_sequence: int,
        n_pages: int,
        kv_token_stride: int,
        kv_head_stride: int,
    ) -> None:
        call = Call("cache_append")
        s = Heads(batch, new_len, n_kv_heads, n_kv_heads, head_dim, kv_strides=(kv_token_stride, kv_head_stride))
        s.check(call, "new_len")
        _check_pages(call, s, page_size, pages_per_sequence, n_pages, block_table)
        shape = (n_pages, page_size, n_kv_heads, head_dim)
        to_k, to_v = (
            call.out("k_cache", k_cache, dense(*shape), FLOATS),
            call.out("v_cache", v_cache, dense(*shape), FLOATS),
        )
        keys, values = call.into("k", k, s.kv_extent()), call.into("v", v, s.kv_extent())
        table = call.into_or_none("block_table", block_table, dense(batch, pages_per_sequence), I32)
        at = call.into("positions", positions, dense(batch), I32)
        limits = call.into_or_none("lengths", lengths, dense(batch), I32)
        call.same_dtype("v_cache", to_v, "k_cache", to_k)

        def run() -> None:
            places = self._places(
                call.op, table, at, limits, batch, new_len, page_size, pages_per_sequence, n_pages, False
            )
            if places is None:
                return
            starts, counts, pages = places
            for cache, new in ((to_k, s.kv(keys)), (to_v, s.kv(values))):
                stored = load(cache, shape).copy()
                for b in range(batch):
                    for t in range(counts[b]):
                        page, row = divmod(starts[b] + t, page_size)
                        stored[pages[b, page], row] = new[b, t]
                store(cache, stored)

        self.submit(call, run)

    def attention_cached_forward(
        self,
        out: Buffer,
        q: Buffer,
        k_cache: Buffer,
        v_cache: Buffer,
        block_table: Buffer | None,
        positions: Buffer,
        lengths: Buffer | None,
        batch: int,
        new_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        page_size: int,
        pages_per_sequence: int,
        n_pages: int,
        q_token_stride: int,
        q_head_stride: int,
        scale: float,
    ) -> None:
        call = Call("attention_cached_forward")
        s = Heads(batch, new_len, n_heads, n_kv_heads, head_dim, (q_token_stride, q_head_stride))
        s.check(call, "new_len")
        _check_pages(call, s, page_size, pages_per_sequence, n_pages, block_table)
        shape = (n_pages, page_size, n_kv_heads, head_dim)
        to = call.out("out", out, s.out_extent(), FLOATS)
        queries = call.into("q", q, s.q_extent())
        keys, values = (
            call.into("k_cache", k_cache, dense(*shape), FLOATS),
            call.into("v_cache", v_cache, dense(*shape), FLOATS),
        )
        table = call.into_or_none("block_table", block_table, dense(batch, pages_per_sequence), I32)
        at = call.into("positions", positions, dense(batch), I32)
        limits = call.into_or_none("lengths", lengths, dense(batch), I32)
        factor = call.real32("scale", scale)
        call.same_dtype("v_cache", values, "k_cache", keys)

        def run() -> None:
            places = self._places(
                call.op, table, at, limits, batch, new_len, page_size, pages_per_sequence, n_pages, True
            )
            if places is None:
                return
            starts, counts, pages = places
            qs, all_k, all_v = s.q(queries), load(keys, shape), load(values, shape)
            result = np.zeros(s.q_shape, np.float32)
            for b, h, g in s.pairs():
                t, end = counts[b], starts[b] + counts[b]
                if not t:
                    continue
                own = pages[b, : -(-end // page_size)]
                ks = all_k[own, :, g].reshape(-1, head_dim)[:end]
                vs = all_v[own, :, g].reshape(-1, head_dim)[:end]
                x = masked(factor * (qs[b, :t, h] @ ks.T), -np.inf, starts[b])
                result[b, :t, h] = over_keys(np.exp(x - logsumexp(x)[:, None]), vs, starts[b])
            store(to, result)

        self.submit(call, run)

    def _places(
        self,
        op: str,
        table: ReferenceBuffer | None,
        at: ReferenceBuffer,
        limits: ReferenceBuffer | None,
        batch: int,
        new_len: int,
        page_size: int,
        pages_per_sequence: int,
        n_pages: int,
        reads_all: bool,
    ) -> tuple[list[int], list[int], Array] | None:
        """(first position, new tokens) of each sequence and its pages, or None after a bad value.

        reads_all: the pages of all keys are needed, not only those of the new ones. A sequence without new tokens is
        not looked at.
        """
        counts = self.lengths_of(op, limits, batch, new_len)
        if counts is None:
            return None
        starts = [int(start) for start in window(at, (batch,))]
        pages = np.arange(batch * pages_per_sequence).reshape(batch, pages_per_sequence)
        if table is not None:
            pages = window(table, (batch, pages_per_sequence))
        for b, (start, count) in enumerate(zip(starts, counts, strict=True)):
            room = page_size * pages_per_sequence - count
            if count and not 0 <= start <= room:
                self.report(f"{op}: positions[{b}] is {start}, expected 0 to {room}")
                return None
            used = range(0 if reads_all else start // page_size, -(-(start + count) // page_size)) if count else ()
            for page in used:
                if not 0 <= pages[b, page] < n_pages:
                    at_index = b * pages_per_sequence + page
                    self.report(f"{op}: block_table[{at_index}] is {pages[b, page]}, expected 0 to {n_pages - 1}")
                    return None
        return starts, counts, pages


def _check_pages(
    call: Call, s: Heads, page_size: int, pages_per_sequence: int, n_pages: int, table: Buffer | None
) -> None:
    call.dims(page_size=page_size, pages_per_sequence=pages_per_sequence, n_pages=n_pages)
    call.require(
        page_size > 0 and page_size % PAGE_MULTIPLE == 0,
        f"page_size is {page_size}, expected a multiple of {PAGE_MULTIPLE}",
    )
    capacity = call.product("page_size x pages_per_sequence", page_size, pages_per_sequence)
    call.fits_i32("page_size x pages_per_sequence", capacity)
    call.at_most("new_len", s.seq_len, capacity, "page_size x pages_per_sequence")
    if table is None:
        call.at_least("n_pages", n_pages, call.product("batch x pages_per_sequence", s.batch, pages_per_sequence))
    call.fits_i32("n_pages", n_pages)
