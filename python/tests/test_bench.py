"""The work of benchmark cases: the same numbers everywhere, released afterwards, for every kind that is listed."""

from __future__ import annotations

import gc
import json
from typing import Any

import numpy as np
import pytest
from devices import available_devices
from paths import ROOT

from nn import bench, open_backend
from nn.bench import Work, interval, work
from nn.json_fields import Fields
from nn.json_strict import Json
from nn.model import generate
from nn.model.config import preset
from nn.model.generate import Generator
from nn.model.transformer import MoETransformer
from nn.tensor.backend import Backend
from nn.tensor.dtype import Array
from nn.tensor.philox import STREAM_DATA, uniform

CASES: dict[str, dict[str, Json]] = {
    "adamw": {"n": 70},
    "attention": {"batch": 2, "seq": 5, "n_heads": 4, "n_kv_heads": 2, "head_dim": 8},
    "call": {},
    "cross_entropy": {"rows": 7, "cols": 5},
    "decode": {"config": "tiny", "batch": 2, "prompt": 3, "skip": 2, "new": 2},
    "forward": {"config": "tiny", "batch": 2, "seq": 3},
    "matmul": {"m": 3, "n": 4, "k": 5},
    "moe_layer": {"config": "tiny", "tokens": 3},
    "prefill": {"config": "tiny", "batch": 2, "prompt": 3},
    "rmsnorm": {"rows": 3, "cols": 20},
    "silu": {"n": 9},
    "softmax": {"rows": 3, "cols": 20},
    "swiglu": {"n": 9},
    "train": {"config": "tiny", "batch": 2, "seq": 3},
}
RESULTS = {  # elements of the output, 4 bytes each
    "adamw": 3 * 70,
    "attention": 2 * 5 * 4 * 8 + 2 * 5 * 4,
    "call": 1,
    "cross_entropy": 1 + 7 * 5,
    "decode": 2 * 2,
    "forward": 2 * 3 * 1000,
    "matmul": 3 * 4,
    "moe_layer": 3 * 64,
    "prefill": 2,
    "rmsnorm": 3 * 20 + 3,
    "silu": 9,
    "softmax": 3 * 20,
    "swiglu": 9,
}


def made(backend: Backend, kind: str) -> Work:
    return work(backend, Fields({"name": kind, "kind": kind, **CASES[kind]}, "cases"))


def output(backend: Backend, kind: str) -> bytes:
    one = made(backend, kind)
    one.run()
    bytes_ = one.output()
    one.close()
    return bytes_


def test_every_listed_case_is_of_a_kind_tested_here() -> None:
    listed = json.loads((ROOT / "benchmarks" / "cases.json").read_text())["cases"]
    assert {case["kind"] for case in listed} == set(CASES)
    assert len({case["name"] for case in listed}) == len(listed)


@pytest.mark.parametrize("kind", CASES)
def test_output_is_that_of_one_run_and_the_same_again(kind: str) -> None:
    with open_backend("reference") as backend:
        first = output(backend, kind)
        assert first == output(backend, kind)
        if kind in RESULTS:
            assert len(first) == 4 * RESULTS[kind]


@pytest.mark.skipif("cpu" not in available_devices(), reason="the library is not built")
@pytest.mark.parametrize("kind", CASES)
def test_devices_agree(kind: str) -> None:
    with open_backend("reference") as reference, open_backend("cpu") as cpu:
        dtype = np.int32 if kind in ("decode", "prefill") else np.float32
        want, got = (np.frombuffer(output(backend, kind), dtype) for backend in (reference, cpu))
        bound = 2e-5
        if kind == "train":
            one = made(reference, kind)
            start = np.frombuffer(one.output(), dtype)
            one.close()
            steps_agree(got.astype(np.float64), want.astype(np.float64), start.astype(np.float64))
            bound = 2.2e-4  # two steps and their decay, where a gradient is of the size of its rounding error
        np.testing.assert_allclose(got, want, rtol=bound, atol=bound)


def steps_agree(got: Array, want: Array, start: Array, lr: float = 1e-4) -> None:
    """AdamW's first step is lr g / (|g| + eps), and decay: a relative error d of the gradient changes it by at most
    lr d / 4. Weights agree to lr 2^-10 and their own rounding (2^-24 of them, four times) where the gradient is known
    to 2^-8: all but a hundredth of those that moved, which are a quarter of all at least."""
    moved = np.abs(want - start) > lr / 2
    near = np.abs(got - want) <= lr * 2.0**-10 + 2.0**-22 * np.abs(want)
    assert moved.mean() >= 0.25
    assert near.mean() >= 0.99
    assert near[moved].mean() >= 0.99


@pytest.mark.skipif("cpu" not in available_devices(), reason="the library is not built")
def test_another_step_does_not_agree() -> None:
    with open_backend("cpu") as cpu:
        one = made(cpu, "train")
        start = np.frombuffer(one.output(), np.float32).astype(np.float64)
        one.run()
        want = np.frombuffer(one.output(), np.float32).astype(np.float64)
        one.close()
    steps_agree(want, want, start)
    for wrong in (start, (start + want) / 2, 2 * start - want):
        with pytest.raises(AssertionError):
            steps_agree(wrong, want, start)


def test_every_sequence_has_a_prompt_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal prompts would send a whole batch to the same experts."""
    met: list[list[list[int]]] = []

    class Listening(Generator):
        def __init__(self, model: MoETransformer, prompts: Any, *rest: Any, **named: Any) -> None:
            met.append(prompts)
            super().__init__(model, prompts, *rest, **named)

    monkeypatch.setattr(bench, "Generator", Listening)
    monkeypatch.setattr(generate, "Generator", Listening)
    with open_backend("reference") as backend:
        output(backend, "decode")
        output(backend, "prefill")
    assert met == [[[0, 7, 14], [131, 138, 145]]] * 2


@pytest.mark.parametrize("device", available_devices())
def test_a_run_of_decoding_makes_the_tokens_behind_what_is_skipped(device: str) -> None:
    """Again in every run: the same tokens as one generation makes from the prompt on."""
    with open_backend(device) as backend:
        one = made(backend, "decode")
        for _ in range(2):
            one.run()
            got = np.frombuffer(one.output(), np.int32).reshape(2, 2).tolist()
            model = MoETransformer(preset("tiny"), backend)
            whole = generate.generate(model, [[0, 7, 14], [131, 138, 145]], 4, stop_at_eos=False)
            model.close()
            assert got == [ids[2:] for ids in whole]
        one.close()


@pytest.mark.parametrize("device", available_devices())
def test_inputs_are_the_stated_numbers(device: str) -> None:
    with open_backend(device) as backend:
        got = np.frombuffer(output(backend, "matmul"), np.float32).reshape(3, 4).astype(np.float64)
    a, b = (2.0 * uniform(t, STREAM_DATA, 0, 0, n).astype(np.float64) - 1 for t, n in ((0, 15), (1, 20)))
    np.testing.assert_allclose(got, a.reshape(3, 5) @ b.reshape(5, 4), atol=5 * 2.0**-22)


@pytest.mark.skipif("cpu" not in available_devices(), reason="the library is not built")
@pytest.mark.parametrize("kind", CASES)
def test_closed_work_leaves_no_memory(kind: str) -> None:
    """Beyond the context's own scratch memory, which the first run grew. A generator and its recorded step refer to
    each other, so what views of the weights they hold goes with the next collection."""
    with open_backend("cpu") as backend:
        output(backend, kind)
        gc.collect()
        before = backend.memory()[0]
        output(backend, kind)
        gc.collect()
        assert backend.memory()[0] == before


def test_interval_holds_the_median_and_is_repeatable() -> None:
    samples = [1.0, 1.1, 1.2, 1.3, 9.0]
    low, high = interval(samples)
    assert min(samples) <= low <= 1.2 <= high <= max(samples)
    assert interval(samples) == (low, high)
