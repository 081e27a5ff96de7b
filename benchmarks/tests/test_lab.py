"""The lab's own parts: statistics, costs, plans, merging, the form of the file. Nothing here is timed."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.lab import machine, plan, results, statistics
from benchmarks.lab.costs import cost
from benchmarks.lab.harnesses import ROOT, Harness, HarnessError, NativeHarness, build, run_pinned
from benchmarks.lab.processes import launcher, spent
from benchmarks.lab.run import Lab
from benchmarks.report import words
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


def test_noise_flags() -> None:
    quiet = [[1.0] * 10, [1.0] * 10]
    assert statistics.noise(quiet, 1.0, 1.0) == []
    assert statistics.noise(quiet, 0.9, 1.01) == ["wide"]
    assert statistics.noise([[1.0] * 10, [1.3] * 10], 1.0, 1.05) == ["drift"]
    assert statistics.noise(quiet, 1.0, 1.0, others=0.2, stolen=0.2) == ["busy", "stolen"]
    assert statistics.noise([[1.0] * 3], 1.0, 1.0) == ["few"]


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
    every: list[plan.Case] = [
        {"name": "a"},
        {"name": "b", "rounds": 8},
        {"name": "c", "rounds": 2},
        {"name": "d", "rounds": 1},
    ]
    assert [plan.long_samples(case, plan.FULL) for case in every] == [4, 4, 5, 10]
    assert [plan.long_samples(case, plan.QUICK) for case in every] == [5] * 4
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


PRODUCT = {"name": plan.SCALAR_CASES[0], "kind": "matmul", "scaling": True}


def test_a_row_is_bound_to_as_many_processors_as_it_has_threads() -> None:
    """What uses one thread is asked for at one alone, and what is compared with it stands beside it there."""
    assert plan.turns("python", PRODUCT, 8, quick=False) == [
        (1, ["naive", "library", "cpu", "cpu-scalar"]),
        (2, ["cpu", "library"]),
        (4, ["cpu", "library"]),
        (8, ["cpu", "cuda", "library"]),
    ]
    assert plan.turns("rust", PRODUCT, 8, quick=True) == [
        (1, ["naive", "library", "cpu"]),
        (8, ["cpu", "cuda", "library"]),
    ]
    assert plan.turns("python", PRODUCT, 1, quick=True) == [(1, ["naive", "library", "cpu", "cuda"])]
    lines = {"name": "a", "kind": "silu", "loops": False}
    assert plan.turns("go", lines, 2, quick=False) == [(1, ["library", "cpu"]), (2, ["cpu", "cuda"])]
    model = {"name": "m", "kind": "train", "config": "tiny"}
    assert plan.turns("go", model, 2, quick=False) == [(1, ["reference"]), (2, ["cpu", "cuda"])]
    assert plan.turns("go", {**model, "config": "small"}, 2, quick=False) == [(2, ["cpu", "cuda"])]
    assert plan.turns("go", {"name": "c", "kind": "call"}, 2, quick=False) == [(2, ["cpu", "cuda"])]
    assert plan.peer_turns("torch", PRODUCT, 2) == [(1, ["peer-torch"]), (2, ["peer-torch"])]
    assert plan.peer_turns("torch", model, 2) == [(2, ["peer-torch"])]
    assert plan.native_turns(PRODUCT, 2) == [(1, []), (2, [])]
    assert plan.native_turns({**PRODUCT, "loops": False}, 2) == plan.native_turns(model, 2) == []


def test_slow_baselines_and_further_rounds_take_no_time() -> None:
    """What takes tens of times as long is timed in the first round alone; a case with more rounds than the pace has
    them for its rows at all threads."""
    model = {"name": "m", "kind": "decode", "config": "tiny", "scaling": True}
    turns = plan.turns("go", model, 2, quick=False)
    assert turns == [(1, ["cpu", "reference"]), (2, ["cpu", "cuda"])]
    due = [plan.turns_of_round(round_, plan.FULL, turns) for round_ in range(plan.FULL.rounds + 2)]
    assert due[0] == turns
    assert due[1] == due[2] == [(1, ["cpu"]), (2, ["cpu", "cuda"])]
    assert due[3] == due[4] == [(2, ["cpu", "cuda"])]
    plain = plan.turns("go", {**model, "scaling": False}, 2, quick=False)
    assert plan.turns_of_round(1, plan.FULL, plain) == [(2, ["cpu", "cuda"])]
    native = plan.native_turns(PRODUCT, 2)
    assert plan.turns_of_round(1, plan.FULL, native) == native
    assert plan.turns_of_round(0, plan.FULL, []) == plan.turns_of_round(9, plan.FULL, []) == []


def test_rounds() -> None:
    promised = {"name": "a", "kind": "train", "rounds": 8}
    assert plan.rounds(promised, plan.FULL) == 8
    assert plan.rounds(promised, plan.QUICK) == plan.QUICK.rounds
    assert plan.rounds({"name": "b"}, plan.FULL) == plan.FULL.rounds
    late = [plan.rounds_left({"name": "b"}, plan.FULL, share) for share in (-0.5, 0.0, 0.16, 0.17, 0.33, 0.34, 9.0)]
    assert late == [3, 3, 3, 2, 2, 1, 1]
    assert plan.rounds_left(promised, plan.FULL, 9.0) == 8
    assert plan.rounds_left({"name": "b"}, plan.QUICK, 9.0) == 1


def test_weights_grow_with_rows_rounds_and_seconds() -> None:
    plain = plan.weight(PRODUCT, plan.FULL, 2, quick=False)
    assert plan.weight({**PRODUCT, "rounds": 6}, plan.FULL, 2, quick=False) > 1.3 * plain
    assert plan.weight({**PRODUCT, "rounds": 1}, plan.FULL, 2, quick=False) < 0.4 * plain
    assert plan.weight({**PRODUCT, "seconds": 2.0}, plan.FULL, 2, quick=False) > plain
    assert plan.weight({**PRODUCT, "loops": False}, plan.FULL, 2, quick=False) < plain


def test_the_cases_of_the_promises_have_rounds_to_compare_languages_by() -> None:
    listed = json.loads((ROOT / "benchmarks" / "cases.json").read_text())["cases"]
    for name in words.PROMISES:
        (case,) = [case for case in listed if case["name"] == name]
        assert plan.rounds(case, plan.FULL) >= 6


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
    with pytest.raises(results.ResultError, match="cc in one round and aa in another"):
        collector.add([harness_row("rust", "cc")], [0, 1], 0.0, 0.0)


def test_a_row_is_one_binding() -> None:
    """Rounds on other processors are another measurement, not more of the same."""
    collector = results.Collector()
    collector.add([harness_row("rust")], [0, 1], 0.0, 0.0)
    with pytest.raises(results.ResultError, match=r"bound to processors \[0, 1\] in one round and to \[1\]"):
        collector.add([harness_row("rust")], [1], 0.0, 0.0)


def test_merge_joins_rounds_and_cases() -> None:
    whole = example()
    one, two = copy.deepcopy(whole), copy.deepcopy(whole)
    one["rows"], two["rows"] = whole["rows"][:5], whole["rows"][4:7]
    merged = results.merge([results.derived(result) for result in (one, two)])
    assert len(merged["rows"]) == 7
    assert len(merged["rows"][4]["rounds"]) == 6
    assert [row.get("slices") for row in merged["rows"]] == [None] * 4 + [2] + [None] * 2
    assert len(merged["limits"]) == 2 * len(whole["limits"])
    results.validate(merged, "merged")


@pytest.mark.parametrize(
    ("change", "want"),
    [
        (lambda r: r["machine"].update(cpu="other"), "another machine"),
        (lambda r: r.update(commit="f"), "other sources"),
        (
            lambda r: r["rows"][0].update(processors=[7]),
            r"bound to processors None in one round and to \[7\] in another",
        ),
        (lambda r: r["rows"][0].update(checksum="cc"), "cc in one round and 00ff00ff00ff00ff in another"),
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
    assert {one for core in described["cores"] for one in core} >= set(machine.usable())
    assert described["threads_per_core"] == max(len(core) for core in described["cores"])
    assert machine.pinned(0) == machine.usable()
    assert len(machine.pinned(1)) == 1
    json.dumps(described)


def test_threads_have_cores_of_their_own() -> None:
    """Four cores of two processors each, numbered core by core or round by round, and with some missing."""
    apart = {one: [one % 4, one % 4 + 4] for one in range(8)}
    beside = {one: [one // 2 * 2, one // 2 * 2 + 1] for one in range(8)}
    every = list(range(8))
    assert machine.spread_over_cores(every, apart, 1) == [3]
    assert machine.spread_over_cores(every, apart, 2) == [2, 3]
    assert machine.spread_over_cores(every, beside, 2) == [4, 6]
    assert machine.spread_over_cores(every, beside, 4) == [0, 2, 4, 6]
    assert machine.spread_over_cores(every, beside, 5) == [0, 2, 4, 6, 7]
    assert machine.spread_over_cores([2, 3, 5], beside, 2) == [2, 5]
    assert machine.spread_over_cores([0, 1, 2], {}, 2) == [1, 2]


def test_ranges() -> None:
    assert machine.ranges("0-2,8") == [0, 1, 2, 8]
    assert machine.ranges("5") == [5]


STAT = """cpu  900 0 0 0 0 0 0 0 0 0
cpu0 {busy0} 0 0 {idle0} 0 0 0 0 0 0
cpu1 {busy1} 0 0 {idle1} 0 0 0 {stolen} 0 0
cpu2 500 0 0 0 0 0 0 0 0 0
intr 5
"""


def test_load_is_that_of_the_processors_in_use() -> None:
    """Of 100 ticks of each processor the program took 90 of processor 1, another 40 of processor 0, the host 10."""
    before = machine.ticks(STAT.format(busy0=0, idle0=0, busy1=0, idle1=0, stolen=0))
    after = machine.ticks(STAT.format(busy0=40, idle0=60, busy1=90, idle1=0, stolen=10))
    assert machine.shares(before, after, [1], [1], own=90) == (0.0, 0.1)
    assert machine.shares(before, after, [1], [0, 1], own=90) == (0.4, 0.1)  # they share a core
    assert machine.shares(before, after, [0, 1], [0, 1], own=90) == (0.2, 0.05)
    assert machine.shares(before, after, [1], [1], own=50)[0] == 0.4
    assert machine.shares({}, {}, [1], [1], own=0) == machine.shares(before, before, [1], [1], own=0) == (0.0, 0.0)


def test_the_commit_says_whether_sources_differ(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    assert machine.commit(tmp_path) is None
    git("init")
    for name in ("cuda/a.cpp", "README.md", "benchmarks/results/a.json", "docs-en/1.md", ".gitignore"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("build\n")
    git("add", ".")
    git("commit", "-m", "a")
    clean = machine.commit(tmp_path)
    assert clean is not None
    assert len(clean) == 12
    for name in ("README.md", "benchmarks/results/a.json", "benchmarks/results/b.json", "docs-en/1.md", "build"):
        (tmp_path / name).write_text("changed\n")
    assert machine.commit(tmp_path) == clean
    (tmp_path / "cuda" / "b.cpp").write_text("new\n")
    assert machine.commit(tmp_path) == clean + "+"
    (tmp_path / "cuda" / "b.cpp").unlink()
    (tmp_path / "cuda" / "a.cpp").write_text("changed\n")
    assert machine.commit(tmp_path) == clean + "+"


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
    """A program that answers at once with one row, and writes down when it was asked for what; with a checksum of its
    own where it is told to be wrong."""

    def __init__(self, language: str, met: list[tuple[str, str, int]], wrong: str = "") -> None:
        super().__init__(language)
        self.met = met
        self.wrong = wrong
        self.samples: dict[str, tuple[int, int]] = {}

    def prepare(self) -> None:
        """There is nothing to build."""

    def run(
        self, case: str, rows: Sequence[str], processors: Sequence[int], _: float, samples: tuple[int, int], *__: Any
    ) -> list[dict[str, Any]]:
        self.met.append((self.language, rows[-1], len(processors)))
        self.samples[case] = samples
        checksum = "bb" if case == self.wrong else "aa"
        row = {**harness_row(self.language, checksum), "case": case, "threads": len(processors)}
        return [{**row, "row": "peer-torch" if rows[-1] == "peer-torch" else "cpu"}]


class FakeNative(NativeHarness):
    def __init__(self, met: list[tuple[str, str, int]]) -> None:
        super().__init__()
        self.met = met

    def limits(self, *_: Any) -> list[dict[str, Any]]:
        return []

    def case(self, case: dict[str, Any], processors: Sequence[int], *_: Any) -> list[dict[str, Any]]:
        self.met.append(("native", "", len(processors)))
        return [{**harness_row("native"), "case": case["name"], "checksum": None, "threads": len(processors)}]


def product(name: str) -> dict[str, Any]:
    return {"name": name, "kind": "matmul"}


def test_a_case_that_is_wrong_in_one_language_is_timed_in_none() -> None:
    lab = Lab([], [], plan.FULL, False, 600.0, lambda text: None)
    lab.harnesses = {"rust": Fake("rust", []), "go": Fake("go", [], wrong="silu_65536")}
    cases = [product("matmul_512"), product("silu_65536"), product("rmsnorm_512x768")]
    result = lab.run(cases, [])
    assert {row["case"] for row in result["rows"]} == {"matmul_512", "rmsnorm_512x768"}
    assert [case["name"] for case in result["cases"]] == ["matmul_512", "rmsnorm_512x768"]
    assert {len(row["rounds"]) for row in result["rows"]} == {plan.FULL.rounds}
    (sentence,) = lab.failures
    assert "silu_65536: other bits" in sentence
    assert {"what": "silu_65536", "why": sentence} in result["skipped"]
    results.validate(result, "run")


def test_points_of_a_curve_have_ten_samples() -> None:
    """A long run of a case with two rounds is sampled five times in each."""
    lab = Lab([], [], plan.FULL, False, 600.0, lambda text: None)
    fake = Fake("rust", [])
    lab.harnesses = {"rust": fake}
    lab.run([product("matmul_512"), {**product("silu_65536"), "rounds": 2}], [])
    assert fake.samples == {"matmul_512": (10, 4), "silu_65536": (10, 5)}


def test_everything_that_is_compared_takes_turns_in_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Languages, peers and the native program: each once in each place of four rounds, with one thread and then all."""
    monkeypatch.setattr(machine, "usable", lambda: [0, 1])
    monkeypatch.setattr(machine, "siblings", lambda every: {one: [one] for one in every})
    met: list[tuple[str, str, int]] = []
    lab = Lab([], [], dataclasses.replace(plan.FULL, rounds=4), False, 600.0, lambda text: None)
    lab.harnesses = {"rust": Fake("rust", met), "go": Fake("go", met)}
    lab.peers = {"torch": Fake("python", met)}
    lab.native = FakeNative(met)
    result = lab.run([product("matmul_512")], [])
    assert [threads for _, _, threads in met] == [1, 2] * 16
    takers = [taker for taker, _, _ in met[::2]]
    rounds = [takers[at : at + 4] for at in range(0, 16, 4)]
    for place in range(4):
        assert {one[place] for one in rounds} == {"rust", "go", "python", "native"}
    assert len(result["rows"]) == 8
    assert all(row["processors"] == ([1], [0, 1])[row["threads"] - 1] for row in result["rows"])
