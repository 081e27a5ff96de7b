"""Python's harness: loops and NumPy give what the library gives, and a wrong output is noticed before it is timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nn.bench import work
from nn.cuda import open_backend, why_not
from nn.json_fields import Fields
from nn.tensor.backend import Backend

import checks
import library
import naive
import protocol
from benchmarks.lab import plan as lab_plan
from rows import BLAS_KINDS, Subject, applies, plan

CASES: dict[str, dict[str, Any]] = {
    "adamw": {"n": 70},
    "attention": {"batch": 1, "seq": 9, "n_heads": 4, "n_kv_heads": 2, "head_dim": 8},
    "cross_entropy": {"rows": 7, "cols": 50},
    "matmul": {"m": 6, "n": 7, "k": 40},
    "rmsnorm": {"rows": 3, "cols": 200},
    "silu": {"n": 90},
    "softmax": {"rows": 3, "cols": 200},
    "swiglu": {"n": 90},
}
Kinds = dict[str, Callable[[Fields, naive.Inputs], naive.Loops]]
DEVICE = "reference" if why_not("cpu") else "cpu"


def case(kind: str) -> Fields:
    return Fields({"name": kind, "kind": kind, **CASES[kind]}, "case")


def output(backend: Backend, one: Fields) -> bytes:
    made = work(backend, one)
    made.run()
    return made.output()


def computed(kinds: Kinds, kind: str) -> tuple[Fields, naive.Inputs, bytes, naive.Loops]:
    """A case, its inputs, the library's output, and one of the rows, run once."""
    one = case(kind)
    with open_backend(DEVICE) as backend:
        want, given = output(backend, one), checks.inputs(backend, one)
    loops = kinds[kind](one, given)
    loops.run()
    return one, given, want, loops


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("kinds", [naive.KINDS, library.KINDS], ids=["naive", "library"])
def test_rows_agree_with_the_library(kind: str, kinds: Kinds) -> None:
    one, given, want, loops = computed(kinds, kind)
    checks.compare(one, given, loops, want)
    assert loops.share == 1.0


@pytest.mark.parametrize("kind", CASES)
def test_a_wrong_output_is_noticed(kind: str) -> None:
    """One element of each output off by a thousandth of its size, or of 1."""
    one, given, want, loops = computed(library.KINDS, kind)
    for number in range(len(loops.result())):
        spoiled = [values.copy() for values in loops.result()]
        spoiled[number][-1] += 1e-3 * max(1.0, abs(spoiled[number][-1]))
        wrong = naive.Loops(loops.run, 1.0, partial(list, spoiled))
        with pytest.raises(AssertionError, match=f"output {number}, element"):
            checks.compare(one, given, wrong, want)


@pytest.mark.parametrize("kind", CASES)
def test_an_output_that_is_missing_or_short_is_noticed(kind: str) -> None:
    """Of a framework the first outputs are enough, but one at least, and whole."""
    one, given, want, loops = computed(library.KINDS, kind)
    every = loops.result()

    def compare(outputs: list[Any], *, first: bool = False) -> None:
        checks.compare(one, given, naive.Loops(loops.run, 1.0, lambda: outputs), want, first=first)

    compare(every)
    for wrong in ([], every[:-1], [*every, every[0]]):
        with pytest.raises(AssertionError, match=rf"{len(wrong)} outputs, expected {len(every)}"):
            compare(wrong)
    with pytest.raises(AssertionError, match="0 outputs"):
        compare([], first=True)
    if len(every) > 1:
        compare(every[:1], first=True)
    for number, values in enumerate(every):
        for other in (values[:-1], np.append(values, 0.0)):
            spoiled = [*every[:number], other, *every[number + 1 :]]
            with pytest.raises(AssertionError, match=f"output {number} has {len(other)} elements"):
                compare(spoiled)


def test_loops_that_would_take_long_do_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naive, "STEPS", 600)
    one, given, want, loops = computed(naive.KINDS, "matmul")
    assert loops.share == 2 / 6
    checks.compare(one, given, loops, want)


def test_the_share_of_attention_is_that_of_its_scores() -> None:
    """Queries 0 .. s-1 of n meet s (s + 1) / 2 of n (n + 1) / 2 keys."""
    one = Fields({"name": "a", "kind": "attention", **CASES["attention"], "seq": 400}, "case")
    with open_backend("reference") as backend:
        given = checks.inputs(backend, one)
    share = naive.attention(one, given).share
    some = (np.sqrt(1 + 4 * share * 400 * 401) - 1) / 2
    assert share < 1
    assert some == pytest.approx(round(some))


def test_models_are_held_to_ids_and_bounds() -> None:
    one = Fields({"name": "m", "kind": "forward"}, "case")
    values = np.ones(8, np.float32)
    checks.compare_model(one, values.tobytes(), values.tobytes())
    off = values + np.float32(1e-3)
    with pytest.raises(AssertionError, match=r"off by 0\.001"):
        checks.compare_model(one, off.tobytes(), values.tobytes())
    ids = Fields({"name": "d", "kind": "decode"}, "case")
    with pytest.raises(AssertionError, match="other ids"):
        checks.compare_model(ids, b"1234", b"1235")


def test_operations_of_devices_are_compared() -> None:
    for kind in [*CASES, "call"]:
        one = Fields({"name": kind, "kind": kind, **CASES.get(kind, {})}, "case")
        with open_backend("reference") as reference, open_backend(DEVICE) as backend:
            want = output(backend, one)
            given = checks.inputs(backend, one) if kind in CASES else []
            checks.compare_devices(one, given, output(reference, one), want, b"")
            spoiled = np.frombuffer(want, np.float32).copy()
            spoiled[-1] += 1e-3 * max(1.0, abs(spoiled[-1]))
            with pytest.raises(AssertionError, match="output"):
                checks.compare_devices(one, given, spoiled.tobytes(), want, b"")


def test_a_training_step_is_that_of_the_other_device() -> None:
    """No step, half of one, one the other way and one of other gradients are noticed."""
    one = Fields({"name": "t", "kind": "train", "config": "tiny", "batch": 2, "seq": 3}, "case")
    with open_backend("reference") as reference, open_backend(DEVICE) as backend:
        made = work(backend, one)
        start = made.output()
        made.run()
        want, got = made.output(), output(reference, one)
    checks.compare_devices(one, [], got, want, start)
    before, after = (np.frombuffer(values, np.float32) for values in (start, want))
    step = after - before
    with pytest.raises(AssertionError, match=r"0\.0% of the weights moved"):
        checks.compare_devices(one, [], start, start, start)
    for wrong in (before, before + step / 2, before - step, before + np.roll(step, 1)):
        with pytest.raises(AssertionError, match="made the same step"):
            checks.compare_devices(one, [], wrong.astype(np.float32).tobytes(), want, start)
    far = after.copy()
    far[0] += np.float32(3e-4)
    with pytest.raises(AssertionError, match="off by"):
        checks.compare_devices(one, [], far.tobytes(), want, start)


def test_how_many_samples() -> None:
    """As many as asked for, or where a run is long the number that every language takes."""
    runs: list[float] = []

    def slow() -> None:
        runs.append(time.perf_counter())
        time.sleep(0.01)

    subject = Subject(slow, 1.0, 1.0, "call", "", 1, "", None, True, lambda: None)
    asked = protocol.Protocol([], (), None, 0.001, 10, 5, 0.0, 1)
    assert plan(subject, asked) == (5, 1)
    assert plan(subject, replace(asked, seconds=10.0))[0] == 10


def test_which_rows_apply() -> None:
    product, model = case("matmul"), Fields({"name": "t", "kind": "train", "config": "tiny"}, "case")
    large = Fields({"name": "t", "kind": "train", "config": "small"}, "case")
    assert applies(product, "naive")
    assert not applies(product, "reference")
    assert not applies(model, "naive")
    assert applies(model, "reference")
    assert not applies(large, "reference")


def test_protocol(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BENCH_CASES", "BENCH_ROWS", "BENCH_SAMPLES", "BENCH_OUT", "BENCH_CASES_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert protocol.protocol().rows == protocol.ROWS
    monkeypatch.setenv("BENCH_CASES", "silu_65536,matmul_512")
    monkeypatch.setenv("BENCH_ROWS", "cpu")
    monkeypatch.setenv("BENCH_SAMPLES", "3")
    asked = protocol.protocol()
    assert [one.string("name") for one in asked.cases] == ["silu_65536", "matmul_512"]
    assert asked.rows == ("cpu",)
    assert asked.samples == 10
    assert asked.long_samples == 4
    for variable, value in (("BENCH_ROWS", "walk"), ("BENCH_CASES", "walk"), ("BENCH_SECONDS", "-1")):
        with monkeypatch.context() as changed:
            changed.setenv(variable, value)
            with pytest.raises(protocol.ProtocolError, match=variable):
                protocol.protocol()


def test_checksum_is_that_of_the_bytes() -> None:
    assert checks.checksum(b"") == "e3b0c44298fc1c14"  # SHA-256 of nothing


def test_what_is_threaded_is_what_the_harnesses_say() -> None:
    """The plan knows without asking which libraries have threads; Python's harness says the same of itself."""
    assert set(lab_plan.THREADED) == set(BLAS_KINDS)
    assert set(lab_plan.OPERATIONS) == set(naive.KINDS)
