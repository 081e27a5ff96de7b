"""Ratios of two rows. Rows of one case take turns in the same rounds, so that what slows a round down slows both: the
ratio is taken round by round, and what is left of it varies less than either row does."""

from __future__ import annotations

import itertools
import math

import numpy as np

from benchmarks.lab import spread, statistics
from benchmarks.lab.results import Result, Row
from benchmarks.lab.spread import Spread


def common(result: Result) -> Spread | None:
    """What the shared kernels' rows of two languages say, over all cases, of how much a ratio varies between rounds."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in result["rows"]:
        if row["row"] == "cpu":
            groups.setdefault((row["case"], row["threads"]), []).append(row)
    own = [_observed(a, b) for rows in groups.values() for a, b in itertools.pairwise(rows)]
    return spread.prior([one for one in own if one is not None])


def ratio(a: Row, b: Row, known: Spread | None) -> tuple[float, float, float]:
    """a / b, and the 95% interval of what a re-run gives. Rows with as many rounds are compared round by round: the
    median of the ratios, whose spread is moderated by that of all (`known`). Others are compared as independent
    figures."""
    own = _observed(a, b)
    if own is None:
        middle = a["median"] / b["median"]
        error, degrees = spread.both((a["error"], a["degrees"]), (b["error"], b["degrees"]))
    else:
        moderated = spread.moderated(own, known) or own
        middle = math.exp(statistics.median(_logs(a, b)))
        error, degrees = moderated.error(len(a["rounds"])), moderated.degrees
    return middle, *spread.around(middle, math.sqrt(2) * error, degrees)


def _observed(a: Row, b: Row) -> Spread | None:
    """None where there are no pairs: other numbers of rounds, or a single one."""
    if a["case"] != b["case"] or len(a["rounds"]) != len(b["rounds"]):
        return None
    return spread.observed([np.exp(_logs(a, b)).tolist()])


def _logs(a: Row, b: Row) -> list[float]:
    """The logarithms of the ratios, round by round."""
    pairs = zip(statistics.rounds_of(a["rounds"]), statistics.rounds_of(b["rounds"]), strict=True)
    return [math.log(one / other) for one, other in pairs]
