"""Nothing is timed before its output is known to be right."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from nn.json_fields import Fields
from nn.tensor.backend import Backend
from nn.tensor.dtype import DType
from nn.tensor.philox import STREAM_DATA
from numpy.typing import NDArray

from naive import Inputs, Loops

EPS = 2.0**-24
"""Half the distance between 1 and the next f32: the largest relative error of one rounding."""


def inputs(backend: Backend, case: Fields) -> Inputs:
    """The case's inputs on the host: 2 u - 1, u the uniform numbers of (seed t, stream data)."""
    return [_input(backend, t, count) for t, count in enumerate(_input_sizes(case))]


def _input(backend: Backend, t: int, count: int) -> NDArray[np.float32]:
    drawn = backend.buffer(DType.F32, count)
    backend.random_uniform(drawn, count, 0, t, STREAM_DATA, 0)
    values: NDArray[np.float32] = backend.download(drawn) * np.float32(2) - np.float32(1)
    drawn.close()
    return values


def _input_sizes(case: Fields) -> list[int]:
    size = case.integer
    match case.string("kind"):
        case "matmul":
            return [size("m") * size("k"), size("k") * size("n")]
        case "softmax" | "cross_entropy":
            return [size("rows") * size("cols")]
        case "rmsnorm":
            return [size("rows") * size("cols"), size("cols")]
        case "silu":
            return [size("n")]
        case "swiglu":
            return [size("n")] * 2
        case "adamw":
            return [size("n")] * 3
        case "attention":
            tokens, d = size("batch") * size("seq"), size("head_dim")
            return [tokens * size("n_heads") * d, *[tokens * size("n_kv_heads") * d] * 2]
    raise ValueError(f"{case.string('kind')} has no inputs on the host")


def output_sizes(case: Fields) -> list[int]:
    """Elements of each of the case's outputs."""
    size = case.integer
    match case.string("kind"):
        case "matmul":
            return [size("m") * size("n")]
        case "softmax":
            return [size("rows") * size("cols")]
        case "cross_entropy":
            return [1, size("rows") * size("cols")]
        case "rmsnorm":
            return [size("rows") * size("cols"), size("rows")]
        case "call":
            return [1]
        case "silu" | "swiglu":
            return [size("n")]
        case "adamw":
            return [size("n")] * 3
        case "attention":
            heads = size("batch") * size("seq") * size("n_heads")
            return [heads * size("head_dim"), heads]
    raise ValueError(f"{case.string('kind')} has no outputs to compare")


def compare(case: Fields, given: Inputs, loops: Loops, want: bytes, *, first: bool = False) -> None:
    """After one run: |got - want| <= 4 sqrt(K) EPS s for every element, K the terms of its longest sum (at least 16,
    for the elementary function on the way) and s the sum of the terms' sizes, twice: each side rounds. Every output has
    to be there; of a framework, which keeps to itself what only a backward pass needs, the `first` alone.

    Raises AssertionError with the first element that is off.
    """
    whole = np.frombuffer(want, np.float32)
    at = 0
    results, output = loops.result(), output_sizes(case)
    assert len(results) == len(output) or (first and 0 < len(results) < len(output)), (
        f"{case.string('name')}: {len(results)} outputs, expected {len(output)}"
    )
    for number, (got, size) in enumerate(zip(results, output, strict=not first)):
        expected = whole[at : at + size].astype(np.float64)
        at += size
        if case.string("kind") == "cross_entropy" and number == 0 and loops.share < 1:
            continue  # a sum over rows of which only the first were computed
        assert len(got) == size or (loops.share < 1 and len(got) < size), (
            f"{case.string('name')}: output {number} has {len(got)} elements, expected {size}"
        )
        expected = expected[: len(got)]
        terms, sizes = _sum(case, given, number, expected)
        bound = 2 * 4 * math.sqrt(max(16, terms)) * EPS * sizes
        wrong = np.flatnonzero(~(np.abs(got - expected) <= bound))
        if len(wrong):
            i = int(wrong[0])
            limit = np.broadcast_to(bound, expected.shape)[i]
            raise AssertionError(
                f"{case.string('name')}: output {number}, element {i} is {got[i]!r}, "
                f"expected {expected[i]!r} within {limit:.3g}"
            )


def compare_devices(case: Fields, given: Inputs, got: bytes, want: bytes, start: bytes) -> None:
    """Two devices after one run on fresh work: an operation within the bound of `compare`, a model within its own.

    `start` is what a training step began with. Raises AssertionError.
    """
    if case.string("kind") in ("moe_layer", "forward", "train", "prefill", "decode"):
        compare_model(case, got, want, start)
        return
    assert len(got) == len(want), f"{case.string('name')}: {len(got)} bytes, expected {len(want)}"
    at = np.cumsum(output_sizes(case))[:-1]
    outputs = [values.astype(np.float64) for values in np.split(np.frombuffer(got, np.float32), at)]
    compare(case, given, Loops(lambda: None, 1.0, lambda: outputs), want)


def compare_model(case: Fields, got: bytes, want: bytes, start: bytes = b"") -> None:
    """Two devices after one run of a model's work: ids are equal; activations and logits agree to 2e-5 (the bound of
    the golden models); weights after a training step by `compare_step`.

    Raises AssertionError.
    """
    kind, name = case.string("kind"), case.string("name")
    assert len(got) == len(want), f"{name}: {len(got)} bytes, expected {len(want)}"
    if kind in ("decode", "prefill"):
        assert got == want, f"{name}: other ids than those of the cpu device"
        return
    a, b = (np.frombuffer(values, np.float32).astype(np.float64) for values in (got, want))
    if kind == "train":
        compare_step(name, a, b, np.frombuffer(start, np.float32).astype(np.float64))
        return
    worst = float(np.max(np.abs(a - b)))
    assert worst <= 2e-5, f"{name}: off by {worst:.3g}, expected at most 2e-05"


def compare_step(
    name: str, got: NDArray[np.float64], want: NDArray[np.float64], start: NDArray[np.float64], lr: float = 1e-4
) -> None:
    """The first step of AdamW moves a weight by lr g / (|g| + eps), by lr along its gradient g: a relative
    error d of g changes the step by at most lr d / 4: weights agree to lr 2^-10 and the rounding of the weight itself
    wherever g is known to 2^-8. Where g is not far above its rounding error the step may go either way. That is rare:
    99 % of the weights that moved have to agree, and they are at least a quarter of all (the others are experts and
    embeddings that no token met). No weight differs by more than two whole steps with their decay.

    Raises AssertionError.
    """
    moved = np.abs(want - start) > lr / 2
    near = np.abs(got - want) <= lr * 2.0**-10 + 4 * EPS * np.abs(want)
    assert moved.mean() >= 0.25, f"{name}: {moved.mean():.1%} of the weights moved, expected at least 25%"
    share = float(min(near.mean(), near[moved].mean()))
    assert share >= 0.99, f"{name}: {share:.2%} of the weights made the same step, expected at least 99%"
    worst = float(np.max(np.abs(got - want)))
    assert worst <= 2.2 * lr, f"{name}: off by {worst:.3g}, expected at most {2.2 * lr:.3g}"


def _sum(case: Fields, given: Inputs, number: int, expected: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """The terms of an output element's longest sum, and the sum of their sizes for each element."""
    size = case.integer
    match case.string("kind"):
        case "matmul":
            rows, k, n = len(expected) // size("n"), size("k"), size("n")
            a, b = (np.abs(values).astype(np.float64) for values in given)
            return k, (a.reshape(-1, k)[:rows] @ b.reshape(k, n)).reshape(-1)
        case "attention":
            # Values are at most 1 and probabilities sum to 1; a score's error is relative to sqrt(d) at most.
            return size("seq") + size("head_dim"), np.full(len(expected), 1.0 + size("head_dim") ** 0.5)
        case "cross_entropy":
            # A gradient is p/rows - 1/rows at the target: both terms are of the size of what is subtracted.
            return size("cols"), np.abs(expected) + (1.0 / size("rows") if number else 0.0)
        case "softmax" | "rmsnorm":
            return size("cols"), np.abs(expected)
        case "adamw":
            return 16, np.abs(expected) + (1.0, 1.0, 0.05)[number]
    return 16, np.abs(expected)


def checksum(output: bytes) -> str:
    """What languages compare: the first 16 hex digits of SHA-256."""
    return hashlib.sha256(output).hexdigest()[:16]
