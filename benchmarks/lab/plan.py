"""Which rows of which cases are timed, for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Case = dict[str, Any]

QUICK_CASES = ("matmul_512", "softmax_512x32000", "silu_65536", "rmsnorm_512x768", "call_overhead", "tiny_train_2x32",
               "tiny_decode_128")  # fmt: skip
QUICK_PROCESSES = ("startup_tiny",)
SCALAR_CASES = ("matmul_512", "softmax_512x32000", "silu_65536", "rmsnorm_512x768")
"""Where the scalar build of the kernels is timed: the mission's four operations, in one language, since the code that
runs is the same in all three."""


@dataclass(frozen=True)
class Pace:
    """Rounds over all languages; seconds and samples of a row in each; runs of a whole process in each."""

    rounds: int
    seconds: float
    samples: int
    warmup: float
    processes: int


FULL = Pace(rounds=3, seconds=0.5, samples=10, warmup=0.1, processes=5)
QUICK = Pace(rounds=2, seconds=0.05, samples=10, warmup=0.02, processes=3)


def rows_of(language: str, case: Case, quick: bool) -> list[str]:
    """What a language is asked for at all threads; a harness leaves out what does not apply."""
    rows = ["library", "cpu", "cuda"]
    if loops(case):
        rows.insert(0, "naive")
    if not quick:
        rows.append("reference")
    if language == "python" and not quick and case["name"] in SCALAR_CASES:
        rows.append("cpu-scalar")
    return rows


def loops(case: Case) -> bool:
    """Whether plain loops are timed: not where they would take the time of all other rows to say nothing new."""
    return bool(case.get("loops", True))


def thread_counts(case: Case, available: int) -> list[int]:
    """Fewer threads than all at which a case that scales is timed again: 1, 2, 4, ..."""
    counts = []
    count = 1
    while case.get("scaling") and count < available:
        counts.append(count)
        count *= 2
    return counts


def long_samples(pace: Pace) -> int:
    """Samples of a round where a run is long: ten over all rounds, at least four, the same in every language."""
    return max(4, -(-10 // pace.rounds))


def rounds_left(pace: Pace, elapsed: float, budget: float, done: int, cases: int) -> int:
    """Rounds of the next case when `done` of so many cases took `elapsed` of `budget` seconds: all of them while the
    run is on time, one fewer when it is a sixth of the budget late, and one alone when it is a third late."""
    late = elapsed / budget - done / cases
    if late < 1 / 6:
        return pace.rounds
    return max(1, pace.rounds - 1) if late < 1 / 3 else 1


def rotated(languages: list[str], by: int) -> list[str]:
    """The order of a round: each language is first, in the middle and last equally often, so that what drifts within
    a round (temperature, a neighbour) falls on all alike."""
    by %= len(languages) or 1
    return languages[by:] + languages[:by]


def chosen(listed: list[Case], asked: list[str] | None, quick: tuple[str, ...] | None) -> list[Case]:
    """The cases asked for by name, or the quick ones, or all. Errors: ValueError names an unknown one."""
    names = [case["name"] for case in listed]
    for name in asked or []:
        if name not in names:
            raise ValueError(f"there is no case {name}; there are {', '.join(names)}")
    if asked is not None:
        return [case for case in listed if case["name"] in asked]
    if quick is not None:
        return [case for case in listed if case["name"] in quick]
    return listed
