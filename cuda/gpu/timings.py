"""Speed on a card beside what the same card does in cuBLAS and PyTorch in the same run, and beside its measured bandwidth."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import peers

from nn.cuda import open_backend
from nn.model.config import MoEConfig, preset
from nn.model.generate import Generator
from nn.model.transformer import MoETransformer
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import DType

SAMPLES = 7
FLOORS = {"gemm bf16": 0.80, "attention": 0.70, "softmax": 0.80, "rmsnorm": 0.80, "adamw": 0.80, "decode": 0.60}
"""Shares of the peer (products, attention) or of the measured bandwidth (the rest) that an H100 must reach."""


@dataclass
class Timing:
    name: str
    seconds: float
    amount: float
    unit: str
    peer: str = ""
    peer_seconds: float | None = None
    share: float | None = None
    """Of the peer's speed, or of the bandwidth."""

    def row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"name": self.name, "milliseconds": self.seconds * 1e3, f"{self.unit}/s": self.amount / self.seconds}
        if self.peer_seconds is not None:
            row |= {"peer": self.peer, "peer_milliseconds": self.peer_seconds * 1e3}
        if self.share is not None:
            row |= {"share": self.share}
            if floor := FLOORS.get(self.name):
                row |= {"floor": floor, "reached": self.share >= floor}
        return row


def seconds_of(backend: Backend, run: Callable[[], None], repeats: int) -> float:
    """Median time of one run: `repeats` of them recorded as a graph, so that no launch waits for the host."""
    run()
    backend.graph_begin()
    for _ in range(repeats):
        run()
    graph = backend.graph_end()
    backend.graph_launch(graph)
    backend.synchronize()
    samples = []
    for _ in range(SAMPLES):
        begin = time.perf_counter()
        backend.graph_launch(graph)
        backend.synchronize()
        samples.append((time.perf_counter() - begin) / repeats)
    graph.close()
    return statistics.median(samples)


def uniform(backend: Backend, count: int, dtype: DType = DType.F32) -> Buffer:
    """Numbers in [0, 1), made on the device."""
    x = backend.buffer(DType.F32, count)
    backend.random_uniform(x, count, 0, 0, 1, 0)
    if dtype == DType.F32:
        return x
    y = backend.buffer(dtype, count)
    backend.cast(y, x, count)
    return y


def copies(backend: Backend, small: bool) -> list[Timing]:
    """What reads and writes the card's memory at its speed: cudaMemcpy within the card and a kernel, beside torch's copy_."""
    n = 1 << (16 if small else 28)
    x, y = backend.buffer(DType.F32, n), backend.buffer(DType.F32, n)
    return [
        Timing("copy", seconds_of(backend, lambda: backend.copy(y, x, n), 5), 8.0 * n, "byte", "torch copy_", peers.copy(n)),
        Timing("copy by a kernel", seconds_of(backend, lambda: backend.scale_forward(y, x, n, 1.0), 5), 8.0 * n, "byte"),
    ]


def bandwidth(found: list[Timing]) -> float:
    """Bytes a second of the fastest copy, whoever made it: a slow copy of ours would flatter every share."""
    seconds = [(timing, s) for timing in found for s in (timing.seconds, timing.peer_seconds) if s]
    return max(timing.amount / s for timing, s in seconds)


def gemm(backend: Backend, n: int, dtype: DType) -> Timing:
    a, b, c = uniform(backend, n * n, dtype), uniform(backend, n * n, dtype), backend.buffer(dtype, n * n)
    run = lambda: backend.gemm(c, a, b, False, True, n, n, n, n, n, n, 1.0, 0.0)  # noqa: E731
    return Timing(f"gemm {dtype.label}", seconds_of(backend, run, 3), 2.0 * n**3, "flop", "cuBLAS by torch.matmul", peers.matmul(n, dtype.label))


def attention(backend: Backend, seq: int, heads: int) -> Timing:
    d, batch = 64, 4
    tokens = batch * seq
    q, k, v = uniform(backend, tokens * heads * d), uniform(backend, tokens * d, DType.BF16), uniform(backend, tokens * d, DType.BF16)
    out, lse = backend.buffer(DType.BF16, tokens * heads * d), backend.buffer(DType.F32, tokens * heads)

    def run() -> None:
        backend.attention_forward(out, lse, q, k, v, None, batch, seq, heads, 1, d, heads * d, d, d, d, d**-0.5)

    flop = 4.0 * batch * heads * d * seq * (seq + 1) / 2
    return Timing("attention", seconds_of(backend, run, 3), flop, "flop", "torch SDPA, its best backend", peers.attention(batch, heads, seq, d))


def experts(backend: Backend, small: bool) -> list[Timing]:
    """SwiGLU of the experts and its gradient as 6.9b in bf16 has them, weights bf16 and rows f32, which are shared out evenly:
    fused into the products' epilogues, and by the calls that the fused ones stand for."""
    groups, tokens, h, f = (4, 24, 64, 128) if small else (16, 4096, 768, 6144)
    top_k = 2 if small else 4
    m = tokens * top_k
    starts = (np.arange(groups + 1) * m // groups).astype(np.int32)
    offsets, row_token = backend.from_numpy(starts), backend.from_numpy((np.arange(m) % tokens).astype(np.int32))
    x, dy = uniform(backend, tokens * h, DType.F32), uniform(backend, m * h, DType.F32)
    w_gate, w_up, w_down = (uniform(backend, groups * f * h, DType.BF16) for _ in range(3))
    y, gate, up, ds, dgate, dup = (backend.buffer(DType.F32, m * f) for _ in range(6))

    def fused() -> None:
        backend.gemm_grouped_swiglu_forward(y, gate, up, x, w_gate, w_up, offsets, row_token, groups, m, f, h, tokens, f, h, h, f * h)

    def composed() -> None:
        for c, w in ((gate, w_gate), (up, w_up)):
            backend.gemm_grouped_rows(c, x, w, offsets, row_token, True, groups, m, f, h, tokens, f, h, h, f * h, 0.0)
        backend.swiglu_forward(y, gate, up, m * f)

    def gradient() -> None:
        backend.gemm_grouped_swiglu_backward(dgate, dup, dy, w_down, offsets, gate, up, groups, m, f, h, f, h, f, h * f)

    def composed_gradient() -> None:
        backend.gemm_grouped_rows(ds, dy, w_down, offsets, None, False, groups, m, f, h, m, f, h, f, h * f, 0.0)
        backend.swiglu_backward(dgate, dup, ds, gate, up, m * f)

    peer, flop = "torch grouped_mm and silu, rows gathered before", 2.0 * m * f * h
    forward_peer, gradient_peer = peers.experts(starts, h, f)
    return [
        Timing("experts bf16", seconds_of(backend, fused, 3), 2 * flop, "flop", peer, forward_peer),
        Timing("experts bf16, three calls", seconds_of(backend, composed, 3), 2 * flop, "flop", peer, forward_peer),
        Timing("experts gradient bf16", seconds_of(backend, gradient, 3), flop, "flop", peer, gradient_peer),
        Timing("experts gradient bf16, two calls", seconds_of(backend, composed_gradient, 3), flop, "flop", peer, gradient_peer),
    ]


def rows(backend: Backend, n: int, small: bool) -> list[Timing]:
    """Row kernels and AdamW, by the bytes that they must move."""
    cols = 512 if small else 4096
    x, y, w, rstd = uniform(backend, n * cols), backend.buffer(DType.F32, n * cols), uniform(backend, cols), backend.buffer(DType.F32, n)
    found = [
        Timing("softmax", seconds_of(backend, lambda: backend.softmax_forward(y, x, n, cols, cols, cols), 5), 8.0 * n * cols, "byte",
               "torch.softmax", peers.softmax(n, cols)),
        Timing("rmsnorm", seconds_of(backend, lambda: backend.rmsnorm_forward(y, rstd, x, w, n, cols, 1e-6), 5), 8.0 * n * cols, "byte",
               "torch rms_norm", peers.rms_norm(n, cols)),
    ]  # fmt: skip
    size = n * cols
    param, m, v, grad = uniform(backend, size), backend.buffer(DType.F32, size), backend.buffer(DType.F32, size), uniform(backend, size)
    lr, scale = backend.from_numpy(np.asarray([1e-3], np.float32)), backend.from_numpy(np.asarray([1.0], np.float32))
    nonfinite, applied = backend.buffer(DType.I32, 1), backend.from_numpy(np.asarray([1], np.int64))

    def adamw() -> None:
        backend.adamw_step(param, None, m, v, grad, lr, scale, nonfinite, applied, None, size, 0, 0.9, 0.95, 1e-8, 0.1)

    return [*found, Timing("adamw", seconds_of(backend, adamw, 3), 28.0 * size, "byte", "torch AdamW(fused=True)", peers.adamw(size))]


def decode(backend: Backend, small: bool) -> Timing:
    """One sequence, token by token; every active weight is read once a token."""
    config = preset("tiny" if small else "6.9b")
    dtype = DType.F32 if small else DType.BF16
    model = MoETransformer(config, backend, dtype)
    prompt, new = ([1, 2, 3], 6) if small else (list(range(3, 131)), 64)
    generator = Generator(model, [prompt], new + 4, stop_at_eos=False)
    generator.prefill()
    for _ in range(3):  # called, recorded, launched
        generator._step.run()
    backend.synchronize()
    begin = time.perf_counter()
    for _ in range(new):
        generator._step.run()
    backend.synchronize()
    seconds = (time.perf_counter() - begin) / new
    generator.close()
    model.close()
    return Timing("decode", seconds, float(bytes_read(config, dtype)), "byte")


def bytes_read(config: MoEConfig, dtype: DType) -> int:
    """Of the weights that one token needs."""
    return config.n_active_parameters() * (4 if dtype == DType.F32 else 2)


def judge(card: str, table: list[dict[str, Any]]) -> dict[str, Any]:
    """passed is false where an H100 misses a floor, null where it misses none and one was not measured. Other cards have no floors."""
    if "H100" not in card:
        return {"passed": True, "below_floor": [], "not_measured": []}
    reached = {row["name"]: row.get("reached") for row in table}
    short = [name for name in FLOORS if reached.get(name) is False]
    unknown = [name for name in FLOORS if reached.get(name) is None]
    return {"passed": False if short else None if unknown else True, "below_floor": short, "not_measured": unknown}


def measure(device: str, card: str, small: bool) -> dict[str, Any]:
    """All timings, and what judge() says of them."""
    with open_backend(device) as backend:
        copied = copies(backend, small)
        limit = bandwidth(copied)
        found = [*copied, gemm(backend, 64 if small else 4096, DType.BF16), gemm(backend, 64 if small else 4096, DType.F32)]
        found += [attention(backend, 128 if small else 4096, 12), *experts(backend, small)]
        found += [*rows(backend, 8 if small else 16384, small), decode(backend, small)]
    for timing in found:
        if timing.unit == "flop":
            timing.share = timing.peer_seconds / timing.seconds if timing.peer_seconds else None
        elif timing not in copied:
            timing.share = timing.amount / timing.seconds / limit
    table = [timing.row() for timing in found]
    for row in table:
        share = f", {row['share']:.0%} of the {'peer' if 'flop/s' in row else 'copy'}" if "share" in row else ""
        print(f"   {row['name']}: {row['milliseconds']:.4g} ms{share}", flush=True)
    return {**judge(card, table), "bandwidth": limit, "peers": peers.versions(), "timings": table}
