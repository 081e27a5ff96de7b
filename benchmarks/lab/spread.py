"""How much a median differs from run to run: the variance between rounds, and intervals from it.

A row's rounds are looks at the machine at different times, so they differ by more than the samples within one: the
median of a round is taken as its only observation, on a logarithmic scale (a neighbour or a clock that slows things
down does so by a factor). With three rounds a row knows its own variance badly. The rows of one case share their
rounds and are pooled, and the variance of a case is moderated by those of all cases (Smyth 2004, "Linear models and
empirical Bayes methods", section 6): with s^2 of d degrees of freedom, and 1/sigma^2 of the cases distributed as
chi^2_d0 / (d0 s0^2),

    (d0 s0^2 + d s^2) / (d0 + d)    with d0 + d degrees of freedom

is what is known of a case, where d0 and s0^2 are fitted to the mean and the variance of log s^2 over the cases. A case
that varied more than that keeps its own s^2: what disturbed it must not be averaged away by cases that were left alone.
A row keeps its own likewise, where it varied more than its case.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

LEAST_VARIANCE = 1e-12
"""A millionth, squared: what does not vary at all has no logarithm."""


@dataclass(frozen=True)
class Spread:
    """The variance of the logarithm of one round's median, and the degrees of freedom that it is known with."""

    variance: float
    degrees: float

    def error(self, rounds: int) -> float:
        """The standard error of the logarithm of the median over so many rounds. A median of three or more normal
        values has at most pi/2 times the variance of their mean."""
        return math.sqrt(self.variance * (math.pi / 2 if rounds > 2 else 1.0) / rounds)


def observed(rows: Sequence[Sequence[float]]) -> Spread | None:
    """Of rows that went through the same rounds: the pooled variance of the logarithms of their medians, one a round.

    What disturbs a round disturbs all its rows, so that more rows are no more degrees of freedom: they are those of one
    row. None where no row has two rounds.
    """
    logs = [np.log(medians) for medians in rows if len(medians) > 1]
    if not logs:
        return None
    squares = sum(float(np.sum((row - row.mean()) ** 2)) for row in logs)
    variance = squares / sum(len(row) - 1 for row in logs)
    return Spread(max(variance, LEAST_VARIANCE), float(max(len(row) for row in logs) - 1))


def prior(cases: Sequence[Spread]) -> Spread | None:
    """What the cases of a run say of a case that was not measured: d0 and s0^2. None with fewer than two cases."""
    if len(cases) < 2:
        return None
    logs = [math.log(one.variance) - digamma(one.degrees / 2) + math.log(one.degrees / 2) for one in cases]
    between = float(np.var(logs, ddof=1)) - float(np.mean([trigamma(one.degrees / 2) for one in cases]))
    every = sum(one.degrees for one in cases)
    if between <= 0:  # the cases differ by no more than chance: one variance for all
        return Spread(math.exp(float(np.mean(logs))), every)
    degrees = 2 * _inverse_trigamma(between)
    variance = math.exp(float(np.mean(logs)) + digamma(degrees / 2) - math.log(degrees / 2))
    return Spread(variance, min(degrees, every))


def moderated(own: Spread | None, common: Spread | None) -> Spread | None:
    """A case's own spread, moderated by that of all cases, and no smaller than it was."""
    if own is None or common is None:
        return own or common
    degrees = own.degrees + common.degrees
    variance = (own.degrees * own.variance + common.degrees * common.variance) / degrees
    return Spread(max(own.variance, variance), degrees)


def both(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """The standard error of a difference of two independent (error, degrees), and its degrees (Welch 1947)."""
    variances = [a[0] ** 2, b[0] ** 2]
    total = sum(variances)
    if total == 0:
        return 0.0, min(a[1], b[1])
    parts = sum(variance**2 / one[1] for variance, one in zip(variances, (a, b), strict=True))
    return math.sqrt(total), total**2 / parts


def around(middle: float, error: float, degrees: float) -> tuple[float, float]:
    """The 95% interval around a figure whose logarithm has this standard error."""
    factor = math.exp(quantile(round(degrees, 1)) * error)
    return middle / factor, middle * factor


def two_sided(t: float, degrees: float) -> float:
    """The probability of a value beyond t on either side under Student's distribution: with t = sqrt(n) tan(a) its
    density is proportional to cos(a)^(n - 1)."""
    at = math.atan(abs(t) / math.sqrt(degrees))
    return min(1.0, _cosines(at, degrees) / _whole(degrees))


@cache
def _whole(degrees: float) -> float:
    return _cosines(0.0, degrees)


def _cosines(start: float, degrees: float) -> float:
    """The integral of cos^(n - 1) from `start` to pi/2. Of fewer than one degree the integrand has a pole at the end;
    substituting the distance to it as u^2 leaves none above half a degree."""
    points = 1001 if degrees < 50 else 8001  # many degrees leave little beside the middle
    u = np.linspace(0.0, math.sqrt(math.pi / 2 - start), points)
    middle = (u[1:] + u[:-1]) / 2
    return float(np.sum(2 * middle * np.sin(middle**2) ** (degrees - 1)) * (u[1] - u[0]))


@cache
def quantile(degrees: float, outside: float = 0.05) -> float:
    """The value that Student's distribution exceeds, on either side, with this probability."""
    low, high = 0.0, 1e3  # it is 12.7 with one degree, and less with more
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle, degrees) > outside else (low, middle)
    return (low + high) / 2


def digamma(x: float) -> float:
    """The derivative of log gamma: its recurrence up to 6, from there its asymptotic series."""
    total = 0.0
    while x < 6:
        total -= 1 / x
        x += 1
    return total + math.log(x) - 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4) - 1 / (252 * x**6)


def trigamma(x: float) -> float:
    """The derivative of digamma, likewise."""
    total = 0.0
    while x < 6:
        total += 1 / x**2
        x += 1
    return total + 1 / x + 1 / (2 * x**2) + 1 / (6 * x**3) - 1 / (30 * x**5) + 1 / (42 * x**7)


def _inverse_trigamma(value: float) -> float:
    """By bisection of the logarithm: trigamma falls from infinity to 0."""
    low, high = math.log(1e-3), math.log(1e6)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if trigamma(math.exp(middle)) > value else (low, middle)
    return math.exp((low + high) / 2)
