"""Ratios of two rows. Rows of one case take turns in the same rounds, so that what slows a round down slows both: the
ratio is taken round by round, and what is left of it varies less than either row does."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from benchmarks.lab import spread, statistics
from benchmarks.lab.results import Result, Row
from benchmarks.lab.spread import Spread

Kind = tuple[str, str, bool]
"""The names of two rows, in order, and whether both have as many threads: ratios of loops differ between rounds as
loops do, those of the shared kernels as those do."""


@dataclass(frozen=True)
class Known:
    """What the ratios of a run say of how much another varies between rounds: those of its kind, or all."""

    kinds: dict[Kind, Spread]
    every: Spread | None

    def of(self, a: Row, b: Row) -> Spread | None:
        return self.kinds.get(_kind(a, b), self.every)


def common(result: Result) -> Known:
    """From every two rows of a case that differ in one thing: the language, the row or the threads. A kind that fewer
    than two cases have says nothing of others."""
    cases: dict[str, list[Row]] = {}
    for row in result["rows"]:
        cases.setdefault(row["case"], []).append(row)
    seen: dict[Kind, list[tuple[str, Spread]]] = {}
    for name, rows in cases.items():
        for a, b in itertools.combinations(rows, 2):
            one_thing = sum(a[field] != b[field] for field in ("language", "row", "threads")) == 1
            if one_thing and (own := _observed(_logs(a, b))) is not None:
                seen.setdefault(_kind(a, b), []).append((name, own))
    kinds = {}
    for kind, found in seen.items():
        prior = spread.prior([own for _, own in found])
        if prior is not None and len({name for name, _ in found}) > 1:
            kinds[kind] = prior
    return Known(kinds, spread.prior([own for found in seen.values() for _, own in found]))


def ratio(a: Row, b: Row, known: Known | None) -> tuple[float, float, float]:
    """a / b, and the 95% interval of what a re-run gives. Rows of a case are compared by the rounds that both had: the
    median of the ratios, whose spread is moderated by what is `known` of their kind. Where that is no two rounds, they
    are compared by their medians as figures that know nothing of one another."""
    logs = _logs(a, b)
    own = _observed(logs)
    if own is None:
        middle = a["median"] / b["median"]
        error, degrees = _apart(a, b)
    else:
        moderated = spread.moderated(own, known.of(a, b) if known else None) or own
        middle = math.exp(statistics.median(logs))
        error, degrees = moderated.error(len(logs)), moderated.degrees
    return middle, *spread.around(middle, math.sqrt(2) * error, degrees)


def _kind(a: Row, b: Row) -> Kind:
    first, second = sorted((a["row"], b["row"]))
    return first, second, a["threads"] == b["threads"]


def _apart(a: Row, b: Row) -> tuple[float, float]:
    """The error of a difference of two logarithms, and its degrees. Rows of one case at as many threads have one
    estimate of their variance between them: its degrees are there once."""
    if (a["case"], a["threads"]) == (b["case"], b["threads"]):
        return math.hypot(a["error"], b["error"]), min(a["degrees"], b["degrees"])
    return spread.both((a["error"], a["degrees"]), (b["error"], b["degrees"]))


def _observed(logs: list[float]) -> Spread | None:
    return spread.observed([[math.exp(log) for log in logs]])


def _logs(a: Row, b: Row) -> list[float]:
    """The logarithms of the ratios of the rounds that both had: the first ones, where one had more. Of rows that were
    merged from slices with other numbers of rounds it is not known which those are, and none are taken."""
    if a["case"] != b["case"]:
        return []
    rounds, others = a["rounds"], b["rounds"]
    if len(rounds) != len(others) and max(row.get("slices") or 1 for row in (a, b)) > 1:
        return []
    both = min(len(rounds), len(others))
    pairs = zip(statistics.rounds_of(rounds[:both]), statistics.rounds_of(others[:both]), strict=True)
    return [math.log(one / other) for one, other in pairs]
