"""Intervals: the distributions they come from, and how often a re-run's median lies in them. Nothing here is timed."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.lab import ratios, results, spread, statistics
from benchmarks.lab.spread import Spread
from benchmarks.tests.example import example


@pytest.mark.parametrize(
    ("degrees", "want"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (6, 2.4469), (30, 2.0423), (200, 1.9719), (5000, 1.9604)],
)
def test_students_quantiles(degrees: float, want: float) -> None:
    """Of any table, to its four digits."""
    assert spread.quantile(degrees) == pytest.approx(want, abs=1e-4)
    assert spread.two_sided(spread.quantile(degrees), degrees) == pytest.approx(0.05)


def test_probabilities_far_out() -> None:
    """In closed form: with one degree 1 - 2 atan(t) / pi, with two 1 - t / sqrt(2 + t^2)."""
    for t in (0.0, 0.5, 3.0, 100.0):
        assert spread.two_sided(t, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, rel=1e-5)
        assert spread.two_sided(-t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-5)


def test_derivatives_of_log_gamma() -> None:
    assert spread.digamma(1) == pytest.approx(-0.5772156649)  # Euler's constant
    assert spread.digamma(0.5) == pytest.approx(-0.5772156649 - 2 * math.log(2))
    assert spread.trigamma(1) == pytest.approx(math.pi**2 / 6)
    assert spread.trigamma(0.5) == pytest.approx(math.pi**2 / 2)


def test_a_prior_is_found_again() -> None:
    """Variances drawn as the model says: 1/sigma^2 ~ chi^2_d0 / (d0 s0^2), s^2 ~ sigma^2 chi^2_d / d. Over 20,000 cases
    of d = 20 the variance of log s^2, 0.33 to 1.0, is known to 1.2%, and d0 with it to 2%. With one variance for all,
    d0 is all there is."""
    rng = np.random.default_rng(5)
    for d0 in (3.0, 10.0):
        variance = d0 * 4.0 / rng.chisquare(d0, 20_000)
        seen = [Spread(float(v), 20.0) for v in variance * rng.chisquare(20, 20_000) / 20]
        found = spread.prior(seen)
        assert found is not None
        assert found.degrees == pytest.approx(d0, rel=0.1)
        assert found.variance == pytest.approx(4.0, rel=0.05)
    same = spread.prior([Spread(4.0, 2.0)] * 10)
    assert same is not None
    assert same.degrees == 20
    assert spread.prior([Spread(1.0, 2.0)]) is None


def test_moderation_widens() -> None:
    """A case that was quiet by chance, and not one that was disturbed."""
    own, common = Spread(1.0, 2.0), Spread(4.0, 6.0)
    assert spread.moderated(own, common) == Spread((2 * 1.0 + 6 * 4.0) / 8, 8.0)
    assert spread.moderated(Spread(9.0, 2.0), common) == Spread(9.0, 8.0)
    assert spread.moderated(own, None) == own
    assert spread.moderated(None, common) == common
    assert spread.moderated(None, None) is None


def test_the_error_of_a_median() -> None:
    """Of one round it is that round's, of two that of a mean, from three on pi/2 of that in variance."""
    for rounds, want in ((1, 4e-4), (2, 2e-4), (3, 4e-4 * math.pi / 6), (8, 4e-4 * math.pi / 16)):
        assert Spread(4e-4, 5.0).error(rounds) == pytest.approx(math.sqrt(want), rel=1e-12)


def test_a_rows_interval_is_that_of_a_difference() -> None:
    """Student's quantile times sqrt(2) errors, of a variance that the run's other cases moderate."""
    quiet, loud = [1.0, 1.001, 1.002], [1.0, 1.05, 1.1]
    rows = [{"case": case, "threads": 1, "units": 1.0, "rounds": [[one] * 3 for one in middles]}
            for case, middles in (("a", quiet), ("b", loud))]  # fmt: skip
    alone = [spread.observed([middles]) for middles in (quiet, loud)]
    common = spread.prior([one for one in alone if one is not None])
    for row, own in zip(results.derived({"rows": rows})["rows"], alone, strict=True):
        known = spread.moderated(own, common)
        assert known is not None
        assert own is not None
        assert known.degrees > own.degrees
        assert row["degrees"] == known.degrees
        assert row["error"] == pytest.approx(math.sqrt(known.variance * math.pi / 6), rel=1e-12)
        beyond = spread.quantile(round(known.degrees, 1)) * math.sqrt(2) * row["error"]
        assert row["high"] / row["median"] == pytest.approx(math.exp(beyond), rel=1e-12)
        assert row["median"] / row["low"] == pytest.approx(math.exp(beyond), rel=1e-12)
    assert alone[0] is not None
    assert results.derived({"rows": rows})["rows"][0]["error"] > 1.05 * alone[0].error(3)


def test_observed_pools_rows_of_the_same_rounds() -> None:
    """Two rows that move together are two looks at one variance of two degrees, not four; their sizes do not matter."""
    one = spread.observed([[1.0, 1.1, 1.2]])
    two = spread.observed([[1.0, 1.1, 1.2], [50.0, 55.0, 60.0]])
    assert one is not None
    assert two is not None
    assert two.variance == pytest.approx(one.variance)
    assert two.degrees == one.degrees == 2
    assert spread.observed([[1.0], [2.0]]) is None


Samples = NDArray[np.float64]


def disturbed(rng: np.random.Generator, sizes: Samples, rounds: int, within: float, slow: float) -> Samples:
    """Samples [case, row, round, sample] of a run: a disturbance of each round, half of it common to a case's rows, of
    a size that differs from case to case; now and then a round in which a case is a fifth slower, as where a neighbour
    takes turns on the core; and noise of the samples."""
    cases, rows, samples = len(sizes), 3, 10
    common = rng.standard_normal((cases, 1, rounds))
    own = rng.standard_normal((cases, rows, rounds))
    logs = sizes[:, None, None] * (common + own) / math.sqrt(2) + 0.2 * (rng.random((cases, 1, rounds)) < slow)
    return np.exp(logs[..., None] + within * rng.standard_normal((cases, rows, rounds, samples)))


@pytest.mark.parametrize("rounds", [3, 8])
@pytest.mark.parametrize(("within", "slow"), [(0.005, 0.0), (0.03, 0.0), (0.01, 0.05), (0.01, 0.15)])
def test_a_rerun_lies_in_the_intervals(rounds: int, within: float, slow: float) -> None:
    """30 cases with three rows each, 20 pairs of runs: at least 90% of the second runs' 1,800 medians lie in the first
    ones' intervals. Disturbances of a round are 1% in the middle case, from about 0.2% to 5%."""
    rng = np.random.default_rng(rounds)
    held = 0
    widths = []
    for _ in range(20):
        sizes = 0.01 * np.exp(0.8 * rng.standard_normal(30))
        first, second = (disturbed(rng, sizes, rounds, within, slow) for _ in range(2))
        rows = [
            {"case": str(case), "threads": 1, "rounds": first[case, row].tolist(), "units": 1.0, "number": (case, row)}
            for case in range(30)
            for row in range(3)
        ]
        for row in results.derived({"rows": rows})["rows"]:
            held += row["low"] <= float(np.median(second[row["number"]])) <= row["high"]
            widths.append(row["high"] / row["low"] - 1)
    assert held >= 0.9 * 1800
    if slow == 0:  # nor is it because the intervals say nothing
        assert statistics.median(widths) < 0.12


def test_a_row_that_varied_more_than_its_case_keeps_its_own_variance() -> None:
    """Not the mean over the case's rows, which a quiet one has: the error of the noisy row is its own rounds'."""
    quiet, loud = [1.0, 1.001, 1.002], [1.0, 1.1, 1.2]
    rows = [{"case": "a", "threads": 1, "units": 1.0, "rounds": [[one] * 3 for one in middles]}
            for middles in (quiet, loud, loud[:1])]  # fmt: skip
    pooled, own = spread.observed([quiet, loud]), spread.observed([loud])
    assert pooled is not None
    assert own is not None
    assert own.variance > 1.9 * pooled.variance
    errors = [row["error"] for row in results.derived({"rows": rows})["rows"]]
    assert errors == pytest.approx([pooled.error(3), own.error(3), pooled.error(1)], rel=1e-12)


@pytest.mark.parametrize("rounds", [3, 8])
def test_a_rerun_of_a_noisy_row_among_quiet_ones_lies_in_its_interval(rounds: int) -> None:
    """30 cases of which one row of three varies by 5% a round and the others by 0.2%, 20 pairs of runs: of the
    noisy rows' 600 medians at least 85% lie in their intervals with three rounds (81% by the pooled variance), and 90%
    with eight."""
    rng = np.random.default_rng(60 + rounds)
    held = 0
    for _ in range(20):
        sizes = np.array([0.002, 0.002, 0.05])
        first, second = (
            np.exp(sizes[None, :, None, None] * rng.standard_normal((30, 3, rounds, 1))
                   + 0.001 * rng.standard_normal((30, 3, rounds, 10)))
            for _ in range(2)
        )  # fmt: skip
        rows = [{"case": str(case), "threads": 1, "units": 1.0, "rounds": first[case, row].tolist()}
                for case in range(30) for row in range(3)]  # fmt: skip
        for case, row in enumerate(results.derived({"rows": rows})["rows"][2::3]):
            held += row["low"] <= float(np.median(second[case, 2])) <= row["high"]
    assert held >= (0.85 if rounds == 3 else 0.9) * 600


def test_a_single_round_has_what_its_samples_say() -> None:
    row = {"case": "a", "threads": 1, "rounds": [[1.0, 1.01, 0.99, 1.02, 0.98]], "units": 1.0}
    (got,) = results.derived({"rows": [row]})["rows"]
    low, high = statistics.interval(row["rounds"][0])  # type: ignore[index]
    assert got["low"] < low < got["median"] < high < got["high"]
    steady = {**row, "rounds": [[1.0] * 5]}
    (got,) = results.derived({"rows": [steady]})["rows"]
    assert got["low"] == got["median"] == got["high"] == 1.0


def timed(rounds: list[float], case: str = "a", row: str = "cpu", language: str = "go") -> dict[str, Any]:
    return {"case": case, "language": language, "row": row, "threads": 1, "rounds": [[one] * 3 for one in rounds],
            "median": statistics.median(rounds), "error": 0.1, "degrees": 4.0}  # fmt: skip


def test_what_slows_a_round_down_slows_both() -> None:
    """A ratio by rounds does not see that the machine was slower in one of them; one of medians would."""
    drift = [1.0, 1.3, 0.8, 1.1]
    a, b = timed([2.02 * x for x in drift]), timed([2.0 * x for x in drift])
    middle, low, high = ratios.ratio(a, b, None)
    assert middle == pytest.approx(1.01)
    assert high / low < 1.0001
    fewer = ratios.ratio(a, timed([2.0 * x for x in drift[:2]]), None)
    assert fewer[0] == pytest.approx(1.01)  # of the rounds that both had
    assert fewer[2] / fewer[1] < 1.0001
    _, apart_low, apart_high = ratios.ratio(a, timed([2.0]), None)
    assert apart_high / apart_low > 1.5  # a single round: as two figures that know nothing of one another


def test_rounds_of_slices_are_not_taken_for_one_another() -> None:
    """Slices of 3 rounds and of 2, merged: the fourth of six is none of those that the other has."""
    a = {**timed([1.0, 1.1, 1.2, 1.0, 1.1, 1.2]), "slices": 2}
    b = {**timed([1.0, 1.1, 1.0, 1.1]), "slices": 2}
    assert ratios.ratio(a, b, None)[0] == pytest.approx(a["median"] / b["median"])
    assert ratios.ratio(a, {**a, "median": 5.0}, None)[0] == pytest.approx(1.0)


def test_two_rows_of_one_case_know_one_variance() -> None:
    """sqrt(2) times their error with the degrees of one; two cases have two variances, and Welch's degrees."""
    a, b = timed([1.0]), timed([1.0])
    _, _, high = ratios.ratio(a, b, None)
    assert high == pytest.approx(math.exp(spread.quantile(4.0) * 2 * 0.1))
    _, _, high = ratios.ratio(a, {**b, "case": "b"}, None)
    assert high == pytest.approx(math.exp(spread.quantile(8.0) * 2 * 0.1))


def test_a_ratio_is_moderated_by_those_of_its_kind() -> None:
    """Languages that agree to 0.1% between rounds say nothing of loops that differ by 10%; a kind that one case alone
    has, nor of any other, is moderated by all."""
    still, shaken = [1.0, 1.001, 1.0, 1.001], [1.0, 1.1, 0.9, 1.05]
    rows = []
    for case, by in (("a", 1.0), ("b", 1.3)):
        for row, moved in (("cpu", still), ("naive", shaken)):
            rows += [timed([1.0] * 4, case, row), timed([1 + by * (one - 1) for one in moved], case, row, "rust")]
    rows.append(timed(shaken, "a", "library"))
    known = ratios.common({"rows": rows})
    one, other = timed([1.0] * 4, "c"), timed([1.0] * 4, "c", "cpu", "rust")
    loops, faster = {**one, "row": "naive"}, {**other, "row": "naive"}
    cpu, naive = known.of(one, other), known.of(loops, faster)
    assert cpu is not None
    assert naive is not None
    assert naive.variance > 1000 * cpu.variance
    assert known.of(loops, {**loops, "row": "library"}) == known.every
    assert known.of(one, {**one, "threads": 2}) == known.every
    widths = [high / low for _, low, high in (ratios.ratio(one, other, known), ratios.ratio(loops, faster, known))]
    assert widths[0] < 1.01
    assert widths[1] > 1.05


def test_a_ratios_spread_is_moderated() -> None:
    """By what ratios of all cases do: three rounds that agree by chance promise less."""
    a, b = timed([1.0, 1.0, 1.0]), timed([1.0, 1.0, 1.0])
    _, low, high = ratios.ratio(a, b, ratios.Known({}, Spread(1e-4, 6.0)))
    assert high / low - 1 > 0.02
    known = ratios.common(results.derived(copy.deepcopy(example())))
    assert known.every is not None
    assert {("cpu", "cpu", True), ("cpu", "library", True), ("naive", "naive", True)} <= set(known.kinds)


@pytest.mark.parametrize("rounds", [3, 8])
def test_a_rerun_of_a_ratio_lies_in_its_interval(rounds: int) -> None:
    """As above, for the first two rows of each case: what is common to a round falls out, so that the intervals are
    narrower than the rows' own."""
    rng = np.random.default_rng(40 + rounds)
    held = 0
    widths: list[float] = []
    rows_widths: list[float] = []
    for _ in range(20):
        sizes = 0.01 * np.exp(0.8 * rng.standard_normal(30))
        first, second = (disturbed(rng, sizes, rounds, 0.01, 0.1) for _ in range(2))
        rows = [
            {"case": str(case), "language": language, "threads": 1, "row": "cpu", "units": 1.0,
             "rounds": first[case, row].tolist()}
            for case in range(30)
            for row, language in enumerate(("rust", "go"))
        ]  # fmt: skip
        derived = results.derived({"rows": rows})
        known = ratios.common(derived)
        for case in range(30):
            _, low, high = ratios.ratio(derived["rows"][2 * case], derived["rows"][2 * case + 1], known)
            widths.append(math.log(high / low))
            rows_widths.append(math.log(derived["rows"][2 * case]["high"] / derived["rows"][2 * case]["low"]))
            medians = np.median(second[case], axis=2)
            held += low <= float(np.exp(np.median(np.log(medians[0] / medians[1])))) <= high
    assert held >= 0.9 * 600
    assert statistics.median(widths) < statistics.median(rows_widths)


def test_too_small_for_chance() -> None:
    """The largest k with p_(k) <= k q / m, and all below it (Benjamini and Hochberg's own rule)."""
    values = [0.04, 0.001, 0.5, 0.02, 0.9]
    assert statistics.by_chance(values) == [True, False, True, False, True]  # 0.001 <= 0.01, 0.02 <= 0.02, 0.04 > 0.03
    assert statistics.by_chance([0.04, 0.03, 0.045]) == [False] * 3  # 0.045 <= 0.05 lets those before it pass
    assert statistics.by_chance([]) == []


def test_two_errors_together() -> None:
    error, degrees = spread.both((3.0, 5.0), (4.0, 5.0))
    assert error == 5.0
    assert degrees == pytest.approx(25.0**2 / (81 / 5 + 256 / 5))
    assert spread.both((0.0, 2.0), (0.0, 3.0)) == (0.0, 2.0)
