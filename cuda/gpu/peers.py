"""The same work in PyTorch on the same card, which calls cuBLAS for products. Every time is None where PyTorch or a card is
missing, and the result file says so."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

SAMPLES = 7


def here() -> bool:
    return torch is not None and torch.cuda.is_available()


def versions() -> str:
    if not here():
        return "none: PyTorch with CUDA is not installed, or sees no card"
    return f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def seconds_of(run: Callable[[], Any], repeats: int = 5) -> float:
    """Median time of one run between two events, with warm-up."""
    for _ in range(3):
        run()
    samples = []
    for _ in range(SAMPLES):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(repeats):
            run()
        end.record()
        torch.cuda.synchronize()
        samples.append(start.elapsed_time(end) / 1e3 / repeats)
    return statistics.median(samples)


def matmul(n: int, dtype: str) -> float | None:
    """x y^T; f32 without TF32, which rounds operands to 10 bits."""
    if not here():
        return None
    torch.backends.cuda.matmul.allow_tf32 = False
    kind = {"bf16": torch.bfloat16, "f32": torch.float32}[dtype]
    x, y = torch.rand(n, n, device="cuda", dtype=kind), torch.rand(n, n, device="cuda", dtype=kind)
    return seconds_of(lambda: x @ y.T)


def attention(batch: int, heads: int, seq: int, d: int) -> float | None:
    """Causal, one key/value head, expanded as SDPA's backends want it; the fastest backend that takes it."""
    if not here():
        return None
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q = torch.rand(batch, heads, seq, d, device="cuda", dtype=torch.bfloat16)
    k, v = (torch.rand(batch, 1, seq, d, device="cuda", dtype=torch.bfloat16).expand(batch, heads, seq, d) for _ in range(2))
    best: float | None = None
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION):
        try:
            with sdpa_kernel(backend):
                found = seconds_of(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True))
        except RuntimeError:  # this backend does not take these inputs on this card
            continue
        best = found if best is None else min(best, found)
    return best


def experts(starts: Any, hidden: int, ffn: int) -> tuple[float | None, float | None]:
    """silu(x W_gate^T) * (x W_up^T) of groups of rows of x, keeping both products, and the gradients of the two from that of the result's
    product with W_down; starts [groups + 1] i32. Products by grouped_mm where this PyTorch has it, else one for each group."""
    if not here():
        return None, None
    rows, groups = int(starts[-1]), len(starts) - 1

    def make(*shape: int) -> Any:
        return torch.rand(*shape, device="cuda", dtype=torch.bfloat16)

    x, dy, w_gate, w_up, w_down = make(rows, hidden), make(rows, hidden), *(make(groups, *s) for s in ((ffn, hidden), (ffn, hidden), (hidden, ffn)))
    ends = torch.tensor(starts[1:], device="cuda", dtype=torch.int32)
    bounds = [(g, int(starts[g]), int(starts[g + 1])) for g in range(groups)]
    grouped = getattr(torch.nn.functional, "grouped_mm", getattr(torch, "_grouped_mm", None))

    def product(a: Any, b: Any) -> Any:
        if grouped is not None:
            return grouped(a, b, offs=ends)
        return torch.cat([a[begin:end] @ b[g] for g, begin, end in bounds])

    silu = torch.nn.functional.silu
    gate, up = product(x, w_gate.transpose(1, 2)), product(x, w_up.transpose(1, 2))

    def gradient() -> Any:
        ds = product(dy, w_down)
        return torch.ops.aten.silu_backward(ds * up, gate), ds * silu(gate)

    return seconds_of(lambda: silu(product(x, w_gate.transpose(1, 2))) * product(x, w_up.transpose(1, 2))), seconds_of(gradient)


def copy(n: int) -> float | None:
    """f32 within the card."""
    if not here():
        return None
    x, y = torch.rand(n, device="cuda"), torch.empty(n, device="cuda")
    return seconds_of(lambda: y.copy_(x))


def softmax(rows: int, cols: int) -> float | None:
    if not here():
        return None
    x = torch.rand(rows, cols, device="cuda")
    return seconds_of(lambda: torch.softmax(x, 1))


def rms_norm(rows: int, cols: int) -> float | None:
    if not here():
        return None
    x, w = torch.rand(rows, cols, device="cuda"), torch.rand(cols, device="cuda")
    return seconds_of(lambda: torch.nn.functional.rms_norm(x, (cols,), w, 1e-6))


def adamw(n: int) -> float | None:
    if not here():
        return None
    p = torch.nn.Parameter(torch.rand(n, device="cuda"))
    p.grad = torch.rand(n, device="cuda")
    optimizer = torch.optim.AdamW([p], lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
    return seconds_of(optimizer.step)
