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
"""More than this share of the machine's processors busy with something else is flagged."""
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


def interval_by_round(rounds: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The interval of the median of all samples where samples come in rounds: rounds are resampled, then the samples
    within each. Samples of a round share what the machine did then, so taking them as independent would promise an
    interval that the next run leaves."""
    if len(rounds) == 1:
        return interval(rounds[0])
    rng = np.random.default_rng(0)
    lengths = np.asarray([len(samples) for samples in rounds])
    padded = np.zeros((len(rounds), lengths.max()))
    for row, samples in zip(padded, rounds, strict=True):
        row[: len(samples)] = samples
    chosen = rng.integers(0, len(rounds), (RESAMPLES, len(rounds)))
    # As many draws from each chosen round, whatever its length: a round is one look at the machine.
    within = (rng.random((RESAMPLES, len(rounds), lengths.max())) * lengths[chosen][:, :, None]).astype(np.int64)
    medians = np.median(padded[chosen[:, :, None], within].reshape(RESAMPLES, -1), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def noise(
    rounds: Sequence[Sequence[float]], low: float, high: float, others: float = 0.0, stolen: float = 0.0
) -> list[str]:
    """What to distrust about a row, as short words: wide, drift, busy, stolen, few."""
    flags = []
    samples = [sample for one in rounds for sample in one]
    middle = median(samples)
    if high - low > WIDE * middle:
        flags.append("wide")
    middles = [median(one) for one in rounds]
    if max(middles) - min(middles) > DRIFT * middle:
        flags.append("drift")
    if others > OTHERS:
        flags.append("busy")
    if stolen > STOLEN:
        flags.append("stolen")
    if len(samples) < FEW:
        flags.append("few")
    return flags


def ratio_interval(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float, float]:
    """a / b of two (median, low, high). On a logarithmic scale the distances to the bounds are added in quadrature, as
    for independent errors: a's upper with b's lower, and the other way round."""
    middle = a[0] / b[0]
    below = np.hypot(np.log(a[0] / a[1]), np.log(b[2] / b[0]))
    above = np.hypot(np.log(a[2] / a[0]), np.log(b[0] / b[1]))
    return middle, float(middle * np.exp(-below)), float(middle * np.exp(above))
