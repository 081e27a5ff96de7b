"""The same operations by other frameworks on this processor: rows that exist where the framework is installed.

Each makes a run from the case's inputs; `result` gives its outputs for the same comparison that NumPy's rows meet.
Gradients come from the framework's own differentiation. Outputs are written where they were before, as the library's
are, where the framework can; `name` says where it makes new ones in every run.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from nn.json_fields import Fields
from numpy.typing import NDArray

from naive import Inputs, Loops

PEERS = {"peer-torch": "torch", "peer-jax": "jax", "peer-llamacpp": "llama_cpp"}
"""Row: the module that has to be importable."""

CALLED = {"peer-torch": "PyTorch", "peer-jax": "JAX", "peer-llamacpp": "llama.cpp by llama-cpp-python"}

MODELS = {
    "peer-torch": ("decode", "forward", "moe_layer", "prefill", "train"),
    "peer-jax": (),
    "peer-llamacpp": ("decode", "forward", "prefill"),
}
"""Row: the kinds of whole models that are written here; llama.cpp is asked for nothing else."""

SHAPED = ("attention", "cross_entropy", "matmul", "rmsnorm", "silu", "softmax", "swiglu")

LR, BETA1, BETA2, EPSILON, DECAY = 1e-3, 0.9, 0.95, 1e-8, 0.1


def installed(row: str) -> bool:
    return importlib.util.find_spec(PEERS[row]) is not None


IN_PLACE = ("adamw", "matmul", "silu", "softmax", "swiglu")
"""What PyTorch writes into memory that it is given; JAX's arrays are never written again."""


def name(row: str, kind: str) -> str:
    """The framework with its version, and whether it makes its outputs anew in every run of this kind."""
    module: Any = importlib.import_module(PEERS[row])
    called = f"{CALLED[row]} {module.__version__}"
    if kind in MODELS[row] or (row == "peer-torch" and kind in IN_PLACE):
        return called
    return f"{called} (new outputs in every run)"


def threads(row: str, asked: int) -> int:
    """How many a row has where so many are asked for (0: all): XLA takes one for each processor that the process is
    bound to, whatever it is told."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return available if row == "peer-jax" else asked or available


def does(row: str, kind: str) -> bool:
    """Whether a kind is written here for a framework: JAX has no optimizer of its own."""
    if kind in MODELS[row]:
        return True
    return row != "peer-llamacpp" and (kind in SHAPED or (kind == "adamw" and row == "peer-torch"))


@dataclass
class Model:
    """`run` does a case's work once; `output` is that of `nn.bench`."""

    run: Callable[[], None]
    output: Callable[[], bytes]


def model(row: str, case: Fields, threads: int) -> Model:
    """A case of a whole model by a framework, from the weights and inputs that the library's has."""
    of_row: Any = importlib.import_module({"peer-torch": "torch_model", "peer-llamacpp": "llamacpp_model"}[row])
    made: Model = of_row.model(case, threads)
    return made


def loops(row: str, case: Fields, inputs: Inputs, threads: int) -> Loops:
    """The case by a framework."""
    return _torch(case, inputs, threads) if row == "peer-torch" else _jax(case, inputs)


def _shapes(case: Fields) -> dict[str, tuple[int, ...]]:
    size = case.integer
    match case.string("kind"):
        case "matmul":
            return {"a": (size("m"), size("k")), "b": (size("k"), size("n"))}
        case "softmax" | "cross_entropy":
            return {"x": (size("rows"), size("cols"))}
        case "rmsnorm":
            return {"x": (size("rows"), size("cols")), "w": (size("cols"),)}
        case "attention":
            return {
                "q": (size("batch"), size("seq"), size("n_heads"), size("head_dim")),
                "k": (size("batch"), size("seq"), size("n_kv_heads"), size("head_dim")),
                "v": (size("batch"), size("seq"), size("n_kv_heads"), size("head_dim")),
            }
        case "silu":
            return {"x": (size("n"),)}
        case "swiglu":
            return {"gate": (size("n"),), "up": (size("n"),)}
    return {}


def _shaped(case: Fields, inputs: Inputs) -> list[NDArray[np.float32]]:
    return [values.reshape(shape) for values, shape in zip(inputs, _shapes(case).values(), strict=True)]


def _torch(case: Fields, inputs: Inputs, threads: int) -> Loops:
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    kind = case.string("kind")
    kept: list[Any] = []
    if kind == "adamw":
        return _torch_adamw(inputs)
    x = [torch.from_numpy(values.copy()) for values in _shaped(case, inputs)]
    if kind == "cross_entropy":
        targets = torch.arange(x[0].shape[0]) % x[0].shape[1]

        def both_ways() -> None:
            logits = x[0].detach().requires_grad_(True)
            loss = functional.cross_entropy(logits, targets)
            loss.backward()
            kept[:] = [loss.detach() * x[0].shape[0], logits.grad]

        return _loops(both_ways, kept)
    heads = [values.transpose(1, 2) for values in x] if kind == "attention" else []
    out = torch.empty((x[0].shape[0], x[1].shape[1]) if kind == "matmul" else x[0].shape)
    silu = torch.ops.aten.silu.out
    calls: dict[str, Callable[[], Any]] = {
        "matmul": lambda: torch.matmul(x[0], x[1], out=out),
        "softmax": lambda: torch.softmax(x[0], 1, out=out),
        "silu": lambda: silu(x[0], out=out),
        "swiglu": lambda: silu(x[0], out=out).mul_(x[1]),
        "rmsnorm": lambda: functional.rms_norm(x[0], x[1].shape, x[1], 1e-6),
        "attention": lambda: functional.scaled_dot_product_attention(*heads, is_causal=True, enable_gqa=True),
    }

    def run() -> None:
        with torch.inference_mode():
            kept[:] = [calls[kind]()]

    return _loops(run, kept, (lambda out: out.transpose(1, 2)) if kind == "attention" else None)


def _torch_adamw(inputs: Inputs) -> Loops:
    import torch

    param, m, grad = (torch.from_numpy(values.copy()) for values in inputs)
    param.requires_grad_(True)
    param.grad = grad
    optimizer = torch.optim.AdamW([param], lr=LR, betas=(BETA1, BETA2), eps=EPSILON, weight_decay=DECAY, fused=True)
    v = torch.zeros_like(m)
    optimizer.state[param] = {"step": torch.tensor(0.0), "exp_avg": m, "exp_avg_sq": v}
    return _loops(optimizer.step, [param.detach(), m, v])


def _jax(case: Fields, inputs: Inputs) -> Loops:
    """XLA takes the threads of the processors that the process is bound to."""
    import jax
    from jax import numpy as jnp

    kind = case.string("kind")
    x = [jnp.asarray(values) for values in _shaped(case, inputs)]
    kept: list[Any] = []

    def rms(x: Any, w: Any) -> Any:
        return x * jax.lax.rsqrt(jnp.mean(x * x, 1, keepdims=True) + 1e-6) * w

    def cross_entropy(logits: Any) -> Any:
        index = jnp.arange(logits.shape[0])
        return -jax.nn.log_softmax(logits)[index, index % logits.shape[1]].mean()

    calls: dict[str, Callable[..., Any]] = {
        "matmul": jnp.matmul,
        "softmax": lambda x: jax.nn.softmax(x, 1),
        "silu": jax.nn.silu,
        "swiglu": lambda gate, up: jax.nn.silu(gate) * up,
        "rmsnorm": rms,
        "attention": lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=True),
        "cross_entropy": jax.value_and_grad(cross_entropy),
    }
    call = jax.jit(calls[kind])

    def run() -> None:
        got = jax.block_until_ready(call(*x))
        kept[:] = [got[0] * x[0].shape[0], got[1]] if kind == "cross_entropy" else [got]

    return _loops(run, kept)


def _loops(run: Callable[[], None], kept: list[Any], shown: Callable[[Any], Any] | None = None) -> Loops:
    def result() -> list[NDArray[np.float64]]:
        return [np.asarray(shown(out) if shown else out, np.float64).reshape(-1) for out in kept]

    return Loops(run, 1.0, result)
