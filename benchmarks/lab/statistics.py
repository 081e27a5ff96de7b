"""Medians, their intervals, and what makes a measurement doubtful."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

RESAMPLES = 4000

WIDE = 0.10
"""An interval wider than this share of its median is flagged."""
DRIFT = 0.10
"""Medians of rounds that differ by more than this share of the median are flagged."""
OTHERS = 0.05
"""With more than this share of its processors' time spent on something else a row is flagged."""
STOLEN = 0.01
"""More than this share of time given to other guests of the host is flagged."""
FEW = 10
"""Fewer samples than this are flagged."""


def median(samples: Sequence[float]) -> float:
    return float(statistics.median(samples))


def interval(samples: Sequence[float]) -> tuple[float, float]:
    """Bootstrap 95% interval of the median (Efron 1979): the 2.5 and 97.5 percentiles of the medians of resamples of
    the same length, drawn with a fixed seed."""
    values = np.asarray(samples, np.float64)
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def rounds_of(rounds: Sequence[Sequence[float]]) -> list[float]:
    """The median of each round."""
    return [median(samples) for samples in rounds]


def noise(
    rounds: Sequence[Sequence[float]], low: float, high: float, others: float = 0.0, stolen: float = 0.0
) -> list[str]:
    """What to distrust about a row, as short words: wide, drift, busy, stolen, few."""
    flags = []
    samples = [sample for one in rounds for sample in one]
    middle = median(samples)
    if high - low > WIDE * middle:
        flags.append("wide")
    middles = rounds_of(rounds)
    if max(middles) - min(middles) > DRIFT * middle:
        flags.append("drift")
    if others > OTHERS:
        flags.append("busy")
    if stolen > STOLEN:
        flags.append("stolen")
    if len(samples) < FEW:
        flags.append("few")
    return flags


def by_chance(values: Sequence[float], share: float = 0.05) -> list[bool]:
    """Which of many probabilities are too small for chance (Benjamini and Hochberg 1995): of those that are named, this
    share at most is expected to be. Proved for independent figures; for ours, which are disturbed together, the
    simulation of `compare` holds it."""
    order = np.argsort(values)
    passed = np.flatnonzero(np.asarray(values)[order] <= share * np.arange(1, len(values) + 1) / max(1, len(values)))
    named = set(order[: passed[-1] + 1].tolist()) if len(passed) else set()
    return [number not in named for number in range(len(values))]
