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
OPERATIONS = ("adamw", "attention", "cross_entropy", "matmul", "rmsnorm", "silu", "softmax", "swiglu")
"""Kinds that there are loops and libraries for."""
THREADED = ("matmul", "attention")
"""Kinds whose bulk is a product of matrices, for which the three ecosystems' libraries use more than one thread."""
NATIVE = ("matmul", "call")
"""Kinds that the native program times."""


@dataclass(frozen=True)
class Pace:
    """Rounds over all languages, for every case alike where they are `fixed`; seconds and samples of a row in each;
    runs of a whole process in each."""

    rounds: int
    seconds: float
    samples: int
    warmup: float
    processes: int
    fixed: bool = False


FULL = Pace(rounds=3, seconds=0.3, samples=10, warmup=0.05, processes=4)
QUICK = Pace(rounds=2, seconds=0.05, samples=10, warmup=0.02, processes=2, fixed=True)

Turn = tuple[int, list[str]]
"""How many threads, and the rows that are timed with so many."""

ONCE = ("reference", "cpu-scalar")
"""Rows that take tens of times as long as what they are beside, for which the first round is enough."""


def turns_of_round(round_: int, pace: Pace, turns: list[Turn]) -> list[Turn]:
    """What of a case's turns is due in a round: of the rounds that a case has beyond the pace's the last turn alone,
    with all threads, which is what it has them for."""
    if round_ >= pace.rounds:
        return turns[-1:]
    due = []
    for threads, rows in turns:
        left = [row for row in rows if round_ == 0 or row not in ONCE]
        if left or not rows:  # the native program is not told its rows
            due.append((threads, left))
    return due


def turns(language: str, case: Case, available: int, quick: bool) -> list[Turn]:
    """What a language is asked for, a process for each turn; a harness leaves out what does not apply.

    What can use one thread only is timed on one processor, and the shared kernels there too where something is compared
    with them: a row is bound to as many processors as it has threads. Fewer threads than all, but more than one, are
    for the curves of a case that scales.
    """
    asked: dict[int, list[str]] = {available: ["cpu", "cuda"]}
    operation = case["kind"] in OPERATIONS
    if operation and case["kind"] in THREADED:
        asked[available].append("library")
    one = ["naive"] if operation and loops(case) else []
    if operation:
        one += ["library", "cpu"]
    elif case.get("scaling") and not quick:
        one.append("cpu")
    if not quick and case.get("config") == "tiny":
        one.append("reference")
    if language == "python" and not quick and case["name"] in SCALAR_CASES:
        one.append("cpu-scalar")
    for threads in [] if quick else thread_counts(case, available)[1:]:
        asked[threads] = ["cpu", "library"] if case["kind"] in THREADED else ["cpu"]
    if one:
        asked[1] = list(dict.fromkeys([*one, *asked.get(1, [])]))
    return sorted(asked.items())


def peer_turns(name: str, case: Case, available: int) -> list[Turn]:
    """Likewise for a peer, beside which the shared kernels stand at as many threads."""
    counts = {1, available} if case["kind"] in OPERATIONS else {available}
    return [(threads, [f"peer-{name}"]) for threads in sorted(counts)]


def native_turns(case: Case, available: int) -> list[Turn]:
    """Likewise for the native program, which knows itself what it times at one thread and at all."""
    if case["kind"] not in NATIVE or not loops(case):
        return []
    return [(threads, []) for threads in sorted({1, available})]


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


def long_samples(case: Case, pace: Pace) -> int:
    """Samples of a round where a run is long: ten over all rounds of its case, at least four, the same in every
    language."""
    return max(4, -(-10 // rounds(case, pace)))


def rounds(case: Case, pace: Pace) -> int:
    """What the case asks for (more where languages are promised to be within a few percent), or the pace."""
    return pace.rounds if pace.fixed else int(case.get("rounds", pace.rounds))


def rounds_left(case: Case, pace: Pace, late: float) -> int:
    """Rounds of the next case of a run that is late by this share of its budget: one fewer from a sixth, one alone from
    a third. A case that asks for rounds of its own has them."""
    wanted = rounds(case, pace)
    if "rounds" in case or late < 1 / 6:
        return wanted
    return max(1, wanted - 1) if late < 1 / 3 else 1


def weight(case: Case, pace: Pace, available: int, quick: bool) -> float:
    """Seconds that a case takes, roughly: for each process its start and its checks, for each row its time."""
    seconds = pace.seconds if quick else max(pace.seconds, case.get("seconds", 0.0))
    planned = turns("rust", case, available, quick)
    due = [turn for round_ in range(rounds(case, pace)) for turn in turns_of_round(round_, pace, planned)]
    return 3 * sum(START + len(rows) * seconds for _, rows in due)


START = 0.7
"""Seconds until a program is ready to time, on average over the languages."""


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
