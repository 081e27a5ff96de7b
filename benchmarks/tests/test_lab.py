"""The lab's own parts: statistics, costs, plans, merging, the form of the file. Nothing here is timed."""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.lab import machine, plan, results, statistics
from benchmarks.lab.costs import cost
from benchmarks.lab.harnesses import ROOT, Harness, HarnessError, build, run_pinned
from benchmarks.lab.processes import launcher, spent
from benchmarks.lab.run import Lab
from benchmarks.tests.example import CONFIGS, example, row


def test_interval_covers_the_true_median() -> None:
    """95% intervals of 15 draws of a known distribution hold its median about that often: of 200 trials fewer than
    180 would be 6 standard deviations away."""
    drawn = random.Random(1)
    held = 0
    for _ in range(200):
        low, high = statistics.interval([drawn.gauss(10.0, 1.0) for _ in range(15)])
        held += low <= 10.0 <= high
    assert held >= 180


def test_interval_by_round_is_wider_when_rounds_differ() -> None:
    rounds = [[1.0, 1.01, 0.99] * 4, [1.2, 1.21, 1.19] * 4, [1.1, 1.11, 1.09] * 4]
    every = [sample for one in rounds for sample in one]
    low, high = statistics.interval_by_round(rounds)
    flat_low, flat_high = statistics.interval(every)
    assert high - low > flat_high - flat_low
    assert low <= statistics.median(every) <= high
    assert statistics.interval_by_round([rounds[0]]) == statistics.interval(rounds[0])


def test_noise_flags() -> None:
    quiet = [[1.0] * 10, [1.0] * 10]
    assert statistics.noise(quiet, 1.0, 1.0) == []
    assert statistics.noise(quiet, 0.9, 1.01) == ["wide"]
    assert statistics.noise([[1.0] * 10, [1.3] * 10], 1.0, 1.05) == ["drift"]
    assert statistics.noise(quiet, 1.0, 1.0, others=0.2, stolen=0.2) == ["busy", "stolen"]
    assert statistics.noise([[1.0] * 3], 1.0, 1.0) == ["few"]


def test_ratio_interval() -> None:
    assert statistics.ratio_interval((2.0, 2.0, 2.0), (1.0, 1.0, 1.0)) == (2.0, 2.0, 2.0)
    middle, low, high = statistics.ratio_interval((2.0, 1.8, 2.2), (1.0, 0.5, 2.0))
    assert middle == 2.0
    assert 0 < low < 2.0 / 2 * 1.01  # b may be twice as large
    assert high > 2.0 / 0.5 * 0.99


def test_costs_of_operations() -> None:
    product = cost({"kind": "matmul", "m": 2, "n": 3, "k": 5})
    assert (product.flop, product.byte, product.limit) == (60.0, 4.0 * (10 + 15 + 6), "fma")
    assert cost({"kind": "softmax", "rows": 2, "cols": 3}).byte == 48.0
    assert cost({"kind": "call"}).limit is None
    with pytest.raises(ValueError, match="sizes"):
        cost({"kind": "forward", "config": "tiny", "batch": 1, "seq": 1})


def test_forward_counts_every_weight_once_a_token() -> None:
    """A token's operations are twice the weights it meets, attention to itself apart: 4 h d a layer."""
    c = CONFIGS["tiny"]
    attention = c["hidden_size"] * c["head_dim"] * (2 * c["n_heads"] + 2 * c["n_kv_heads"])
    experts = c["hidden_size"] * (c["n_experts"] + 3 * c["top_k"] * c["ffn_size"])
    one = cost({"kind": "forward", "config": "tiny", "batch": 1, "seq": 1}, c)
    scores = c["n_layers"] * 4 * c["n_heads"] * c["head_dim"]
    assert one.flop == 2 * (c["n_layers"] * (attention + experts) + c["vocab_size"] * c["hidden_size"]) + scores


def test_decode_is_the_forward_token_by_token() -> None:
    """Token by token or at once: the same pairs of queries and keys, so that steps from a position on are what a whole
    forward has more than one up to there."""
    c = CONFIGS["tiny"]
    sizes = {"kind": "decode", "config": "tiny", "batch": 1}
    decode = cost({**sizes, "prompt": 3, "skip": 2, "new": 4}, c)
    long, short = (cost({"kind": "forward", "config": "tiny", "batch": 1, "seq": seq}, c) for seq in (8, 4))
    assert decode.flop == pytest.approx(long.flop - short.flop)
    assert decode.limit == "read"
    with_prompt = cost({**sizes, "prompt": 1, "new": 4}, c)  # as results had it before `skip`
    assert with_prompt.flop == pytest.approx(short.flop)
    assert with_prompt.limit is None
    train = cost({"kind": "train", "config": "tiny", "batch": 1, "seq": 4}, c)
    assert train.flop == 3 * short.flop


def test_a_step_of_decoding_reads_the_experts_that_its_batch_meets() -> None:
    """One token reads its own top_k experts, a large batch every one; what is no expert is read once either way."""
    c = CONFIGS["tiny"]

    def step(batch: int) -> float:
        """Without the cache: keys and values of the one token before and of its own, f32."""
        sizes = {"kind": "decode", "config": "tiny", "batch": batch, "prompt": 1, "skip": 1, "new": 1}
        return cost(sizes, c).byte - 4.0 * batch * 2 * 2 * c["n_layers"] * c["n_kv_heads"] * c["head_dim"]

    expert = 4.0 * c["n_layers"] * 3 * c["hidden_size"] * c["ffn_size"]
    row = 4.0 * c["hidden_size"]
    shared = step(1) - c["top_k"] * expert - row
    dense = c["hidden_size"] * c["head_dim"] * (2 * c["n_heads"] + 2 * c["n_kv_heads"])
    layer = dense + c["hidden_size"] * (2 + c["n_experts"])
    assert shared == pytest.approx(4.0 * (c["n_layers"] * layer + c["hidden_size"] * (1 + c["vocab_size"])))
    assert step(1000) == pytest.approx(shared + c["n_experts"] * expert + 1000 * row)
    two = c["top_k"] * (2 - c["top_k"] / c["n_experts"])
    assert step(2) == pytest.approx(shared + two * expert + 2 * row)


def test_every_case_has_a_cost() -> None:
    for case in json.loads((ROOT / "benchmarks" / "cases.json").read_text())["cases"]:
        assert cost(case, CONFIGS.get(case.get("config", ""))).flop >= 0


def test_plan() -> None:
    assert (plan.long_samples(plan.FULL), plan.long_samples(plan.QUICK)) == (4, 5)
    assert plan.rotated(["a", "b", "c"], 1) == ["b", "c", "a"]
    assert plan.rotated([], 2) == []
    assert plan.thread_counts({"scaling": True}, 8) == [1, 2, 4]
    assert plan.thread_counts({"scaling": True}, 1) == []
    assert plan.thread_counts({}, 8) == []
    cases = [{"name": "a"}, {"name": "b"}]
    assert plan.chosen(cases, None, None) == cases
    assert plan.chosen(cases, None, ("b",)) == [{"name": "b"}]
    with pytest.raises(ValueError, match="no case c"):
        plan.chosen(cases, ["c"], None)


def test_rows_of_a_quick_run_are_the_short_ones() -> None:
    product = {"name": plan.SCALAR_CASES[0]}
    assert plan.rows_of("python", product, quick=True) == ["naive", "library", "cpu", "cuda"]
    assert {"reference", "cpu-scalar"} <= set(plan.rows_of("python", product, quick=False))
    assert "cpu-scalar" not in plan.rows_of("rust", product, quick=False)
    assert plan.rows_of("go", {"name": "a", "loops": False}, quick=True) == ["library", "cpu", "cuda"]


def test_a_late_run_makes_fewer_rounds() -> None:
    rounds = [
        plan.rounds_left(plan.FULL, elapsed, 600.0, 10, 30) for elapsed in (0.0, 200.0, 290.0, 310.0, 390.0, 410.0)
    ]
    assert rounds == [3, 3, 3, 2, 2, 1]
    assert plan.rounds_left(plan.QUICK, 1e9, 600.0, 0, 30) == 1


def test_each_language_is_in_each_place_of_a_round() -> None:
    names = ["python", "rust", "go"]
    orders = [plan.rotated(names, by) for by in range(3)]
    for place in range(3):
        assert {order[place] for order in orders} == set(names)


def test_quick_cases_exist() -> None:
    described = json.loads((ROOT / "benchmarks" / "cases.json").read_text())
    names = {case["name"] for case in described["cases"]}
    assert {*plan.QUICK_CASES, *plan.SCALAR_CASES} <= names
    assert set(plan.QUICK_PROCESSES) <= {case["name"] for case in described["processes"]}


def test_example_is_valid_and_survives_the_file(tmp_path: Path) -> None:
    results.write(example(), tmp_path / "r.json")
    got = results.read(tmp_path / "r.json")
    assert len(got["rows"]) == len(example()["rows"])
    first = got["rows"][0]
    assert first["low"] <= first["median"] <= first["high"]
    assert first["rate"] == first["units"] / first["median"]
    results.write(got, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "r.json").read_bytes()


def spoiled(change: Any) -> dict[str, Any]:
    result: dict[str, Any] = copy.deepcopy(example())
    change(result)
    return result


@pytest.mark.parametrize(
    ("change", "want"),
    [
        (lambda r: r.update(version=2), "version is 2, expected 1"),
        (lambda r: r.pop("machine"), "machine is missing"),
        (lambda r: r["rows"][0].pop("units"), "units is missing"),
        (lambda r: r["rows"][0].update(language="perl"), "language is perl"),
        (lambda r: r["rows"][0].update(rounds=[[]]), "no samples"),
        (lambda r: r["rows"][0].update(rounds=[[0.0]]), "no samples, or one that is not above 0"),
        (lambda r: r["rows"][0].update(checked=False, checksum=None), "without its output having been checked"),
        (lambda r: r["rows"][0].update(case="walk"), "walk is not among the cases"),
        (lambda r: r["rows"].append(r["rows"][0]), "is there twice"),
        (lambda r: r["rows"][0].update(gc_seconds="much"), "gc_seconds is of another type"),
    ],
)
def test_validation(change: Any, want: str) -> None:
    with pytest.raises(results.ResultError, match=want):
        results.validate(spoiled(change), "r.json")


def test_a_file_that_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("{")
    with pytest.raises(results.ResultError, match=r"r\.json"):
        results.read(tmp_path / "r.json")


def harness_row(language: str, checksum: str = "aa", samples: tuple[float, ...] = (1.0, 2.0)) -> dict[str, Any]:
    made = row("matmul_512", language, "cpu", 2, 1.0, 1.0, "flop", checksum=checksum)
    made.pop("rounds")
    made.update(samples=list(samples), iterations=[3] * len(samples))
    return made


def test_collector_keeps_rounds_apart() -> None:
    collector = results.Collector()
    collector.add([harness_row("rust")], [0, 1], 0.01, 0.0)
    collector.add([harness_row("rust", samples=(5.0,))], [0, 1], 0.3, 0.0)
    (kept,) = collector.rows.values()
    assert kept["rounds"] == [[1.0, 2.0], [5.0]]
    assert kept["iterations"] == [3, 3, 3]
    assert kept["others"] == 0.3
    assert collector.disagreements("matmul_512") == []


def test_other_bits_are_found() -> None:
    collector = results.Collector()
    collector.add([harness_row("rust", "aa"), harness_row("go", "bb")], [0, 1], 0.0, 0.0)
    (sentence,) = collector.disagreements("matmul_512")
    assert "aa (rust cpu 2)" in sentence
    assert "bb (go cpu 2)" in sentence
    with pytest.raises(results.ResultError, match="in one round"):
        collector.add([harness_row("rust", "cc")], [0, 1], 0.0, 0.0)


def test_merge_joins_rounds_and_cases() -> None:
    whole = example()
    one, two = copy.deepcopy(whole), copy.deepcopy(whole)
    one["rows"], two["rows"] = whole["rows"][:5], whole["rows"][4:7]
    derived = [{**result, "rows": [results.derive(r) for r in result["rows"]]} for result in (one, two)]
    merged = results.merge(derived)
    assert len(merged["rows"]) == 7
    assert len(merged["rows"][4]["rounds"]) == 6
    assert len(merged["limits"]) == 2 * len(whole["limits"])
    results.validate(merged, "merged")


@pytest.mark.parametrize(
    ("change", "want"),
    [
        (lambda r: r["machine"].update(cpu="other"), "another machine"),
        (lambda r: r.update(commit="f"), "other sources"),
    ],
)
def test_merge_refuses(change: Any, want: str) -> None:
    with pytest.raises(results.ResultError, match=want):
        results.merge([example(), spoiled(change)])


def test_limit_is_the_highest_rate_at_that_many_threads() -> None:
    got = results.limit(example(), "fma", 2)
    assert got == pytest.approx(190e9, rel=0.011)  # spread() stays within 1%
    assert results.limit(example(), "fma", 3) is None
    assert results.limit(example(), "fma", 1, "avx2") == pytest.approx(90e9, rel=0.011)


def test_machine() -> None:
    described = machine.describe()
    assert described["processors"] >= described["usable"] >= 1
    assert machine.pinned(0) == machine.usable()
    assert len(machine.pinned(1)) == 1
    json.dumps(described)


def test_pinned_programs_run_on_their_processors() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system binds no process to processors")
    last = machine.pinned(1)
    script = "import os; print(sorted(os.sched_getaffinity(0)), os.environ['GOMAXPROCS'])"
    said = run_pinned([sys.executable, "-c", script], last, ROOT, {}, "python")
    assert said.split() == [f"[{last[0]}]", "1"]
    assert sorted(os.sched_getaffinity(0)) == machine.usable()


def test_failures_carry_the_last_lines() -> None:
    script = "import sys; print('what it said', file=sys.stderr); sys.exit(3)"
    with pytest.raises(HarnessError, match=r"ended with 3:\nwhat it said"):
        run_pinned([sys.executable, "-c", script], machine.usable(), ROOT, {}, "the program")
    with pytest.raises(HarnessError, match="does not build"):
        build([sys.executable, "-c", script], ROOT, "the program")
    with pytest.raises(HarnessError, match="what it said"):
        spent(launcher(), [sys.executable, "-c", script], machine.usable())


def test_peak_memory_of_a_process() -> None:
    """A quarter of a gibibyte that is touched shows; a program that does nothing needs less than this one does."""
    little = spent(launcher(), [sys.executable, "-c", "pass"], machine.usable())
    much = spent(launcher(), [sys.executable, "-c", "x = b'x' * 2**28"], machine.usable())
    assert much.peak_rss_bytes - little.peak_rss_bytes > 0.9 * 2**28
    assert little.peak_rss_bytes < resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_bootstrap_is_repeatable() -> None:
    samples = list(np.random.default_rng(3).random(20))
    assert statistics.interval(samples) == statistics.interval(samples)


class Fake(Harness):
    """A language that answers at once: two rows, with a checksum of its own where it is told to be wrong."""

    def __init__(self, language: str, wrong: str = "") -> None:
        super().__init__(language)
        self.wrong = wrong

    def prepare(self) -> None:
        """There is nothing to build."""

    def run(self, case: str, *_: Any) -> list[dict[str, Any]]:
        checksum = "bb" if case == self.wrong else "aa"
        return [{**harness_row(self.language, checksum), "case": case}]


def test_a_case_that_is_wrong_in_one_language_is_timed_in_none() -> None:
    lab = Lab([], [], plan.FULL, False, 600.0, lambda text: None)
    lab.harnesses = {"rust": Fake("rust"), "go": Fake("go", wrong="silu_65536")}
    cases = [{"name": "matmul_512"}, {"name": "silu_65536"}, {"name": "rmsnorm_512x768"}]
    result = lab.run(cases, [])
    assert {row["case"] for row in result["rows"]} == {"matmul_512", "rmsnorm_512x768"}
    assert [case["name"] for case in result["cases"]] == ["matmul_512", "rmsnorm_512x768"]
    assert [len(row["rounds"]) for row in result["rows"]] == [plan.FULL.rounds] * 4
    (sentence,) = lab.failures
    assert "silu_65536: other bits" in sentence
    assert {"what": "silu_65536", "why": sentence} in result["skipped"]
    results.validate(result, "run")
