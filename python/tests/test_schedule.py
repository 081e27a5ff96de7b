"""The learning rate."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn.train.schedule import Schedule, cos_pi


@given(st.floats(0.0, 1.0))
def test_cosine(x: float) -> None:
    assert abs(cos_pi(x) - math.cos(math.pi * x)) < 1e-15
    assert cos_pi(1.0 - x) == -cos_pi(1.0 - (1.0 - x)) or x == 0.5 or 1.0 - x == 0.5


def test_cosine_at_the_ends() -> None:
    assert (cos_pi(0.0), cos_pi(1.0)) == (1.0, -1.0)
    assert abs(cos_pi(0.5)) < 2e-16
    assert cos_pi(1 / 3) == pytest.approx(0.5, abs=1e-15)


def test_coefficients_are_the_taylor_series() -> None:
    from nn.train.schedule import _COS_PI

    pi = Fraction(31415926535897932384626433832795028841971693993751, 10**49)
    for k, coefficient in enumerate(_COS_PI):
        assert coefficient == float((-1) ** k * pi ** (2 * k) / math.factorial(2 * k))


def test_shape_of_a_run() -> None:
    schedule = Schedule(steps=200)
    rates = [schedule.learning_rate(step) for step in range(200)]
    assert schedule.warmup_steps == 10
    assert rates[:10] == pytest.approx([1e-3 * (step + 1) / 10 for step in range(10)], rel=1e-15)
    assert rates[9] == rates[10] == max(rates) == 1e-3
    assert all(before > after for before, after in itertools.pairwise(rates[10:]))
    assert rates[105] == pytest.approx((1e-3 + 1e-4) / 2)
    assert rates[199] == pytest.approx(1e-4, rel=1e-2)
    assert schedule.learning_rate(200) == schedule.learning_rate(10**9) == 1e-4


@given(st.integers(1, 10**6), st.floats(0.0, 1.0), st.floats(1e-6, 1.0), st.floats(0.0, 1.0), st.data())
def test_between_final_and_peak(steps: int, share: float, peak: float, warmup: float, data: st.DataObject) -> None:
    schedule = Schedule(steps, peak, peak * share, warmup)
    step = data.draw(st.integers(0, steps))
    rate = schedule.learning_rate(step)
    assert 0.0 < rate <= peak * (1 + 1e-15) or (rate == 0.0 and schedule.final == 0.0)
    if step >= schedule.warmup_steps:
        assert rate >= schedule.final * (1 - 1e-15)


@pytest.mark.parametrize("steps", [20, 60, 140, 1000, 123_400])
def test_warm_up_is_a_twentieth(steps: int) -> None:
    assert Schedule(steps).warmup_steps == steps // 20


def test_the_shortest_runs() -> None:
    assert Schedule(steps=1).learning_rate(0) == 1e-3
    assert Schedule(steps=2).learning_rate(1) == pytest.approx((1e-3 + 1e-4) / 2)
    assert Schedule(steps=4, warmup=1.0).learning_rate(3) == 1e-3
