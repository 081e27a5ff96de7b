"""The work of benchmark cases: the same numbers everywhere, released afterwards, for every kind that is listed."""

from __future__ import annotations

import gc
import json

import numpy as np
import pytest
from devices import available_devices
from paths import ROOT

from nn import open_backend
from nn.bench import Work, interval, work
from nn.json_fields import Fields
from nn.json_strict import Json
from nn.tensor.backend import Backend
from nn.tensor.philox import STREAM_DATA, uniform

CASES: dict[str, dict[str, Json]] = {
    "adamw": {"n": 70},
    "attention": {"batch": 2, "seq": 5, "n_heads": 4, "n_kv_heads": 2, "head_dim": 8},
    "call": {},
    "cross_entropy": {"rows": 7, "cols": 5},
    "decode": {"config": "tiny", "batch": 2, "prompt": 3, "new": 2},
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
    """The loosest is the training step, where AdamW divides a gradient by its own size; it moves a weight by at most
    lr = 1e-4 times (1 + weight decay), so two devices that both made one step differ by at most twice that."""
    with open_backend("reference") as reference, open_backend("cpu") as cpu:
        dtype = np.int32 if kind in ("decode", "prefill") else np.float32
        want, got = (np.frombuffer(output(backend, kind), dtype) for backend in (reference, cpu))
        bound = 2.2e-4 if kind == "train" else 2e-5
        np.testing.assert_allclose(got, want, rtol=bound, atol=bound)


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
