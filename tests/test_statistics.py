"""Intervals against scipy and published tables, and the series against its closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from miner.statistics import (
    mean_interval,
    seeds_needed,
    skewness,
    student_probability,
    student_quantile,
    wilson_interval,
)


@settings(max_examples=80, deadline=None)
@given(values=st.lists(st.floats(-100, 100), min_size=2, max_size=12))
def test_mean_interval_equals_scipy(values: list[float]) -> None:
    found = mean_interval(values)
    assert found.half_width is not None
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    expected = stats.t.ppf(0.975, len(values) - 1) * spread
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.half_width == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("count", "quantile"), [(2, 12.706), (3, 4.303), (11, 2.228), (20, 2.093), (30, 2.045)])
def test_mean_interval_takes_the_published_quantile(count: int, quantile: float) -> None:
    """Two-sided 95 % points of Student's t, as Fisher and Yates print them."""
    values = [float(number % 3) for number in range(count)]
    error = np.std(values, ddof=1) / math.sqrt(count)
    assert mean_interval(values).half_width == pytest.approx(quantile * error, abs=5e-4 * error)


def test_mean_of_one_value_has_no_interval() -> None:
    found = mean_interval([54.9])
    assert (found.mean, found.half_width) == (54.9, None)


@pytest.mark.parametrize("nu", [1, 2, 3, 4, 7, 30, 101])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_student_quantile_equals_scipy(nu: int, confidence: float) -> None:
    assert student_quantile(nu, confidence) == pytest.approx(stats.t.ppf((1 + confidence) / 2, nu), rel=1e-9)


@pytest.mark.parametrize("effect", [0.4, 0.5, 0.8, 1.0, 1.5])
def test_seeds_needed_have_the_power_of_the_noncentral_t(effect: float) -> None:
    """Two-sided paired t test at 5 %: the first number of seeds whose power is 80 %, or the next one."""

    def power(seeds: int) -> float:
        limit, shift = stats.t.ppf(0.975, seeds - 1), effect * math.sqrt(seeds)
        return float(stats.nct.sf(limit, seeds - 1, shift) + stats.nct.cdf(-limit, seeds - 1, shift))

    needed = seeds_needed(1 / effect, 1)
    exact = next(seeds for seeds in range(2, 200) if power(seeds) >= 0.8)
    assert exact <= needed <= exact + 1


def test_seeds_needed_are_two_without_deviation() -> None:
    assert seeds_needed(0, 1) == 2


def test_student_probability_has_two_closed_forms() -> None:
    for t in (0.0, 0.3, 2.0, 50.0):
        assert student_probability(t, 1) == pytest.approx(2 / math.pi * math.atan(t), abs=1e-15)
        assert student_probability(t, 2) == pytest.approx(t / math.sqrt(2 + t * t), abs=1e-15)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_equals_published_ones(hits: int, count: int, low: float, high: float) -> None:
    """The examples of Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3."""
    assert wilson_interval(hits / count, count) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**6), st.data())
def test_wilson_interval_equals_scipy(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    expected = stats.binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson_interval(hits / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_skewness_equals_scipy() -> None:
    values = np.random.default_rng(0).poisson(3, 500)
    assert skewness(values) == pytest.approx(stats.skew(values))


def test_skewness_of_equal_values_is_zero() -> None:
    assert skewness(np.full(9, 4)) == 0.0
