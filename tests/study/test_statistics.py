"""Intervals against scipy, and the series against its closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from miner.study.statistics import estimate, student_quantile, within


@settings(max_examples=80, deadline=None)
@given(values=st.lists(st.floats(-100, 100), min_size=2, max_size=12))
def test_the_interval_is_that_of_scipy(values: list[float]) -> None:
    found = estimate(values)
    assert found.half_width is not None
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    expected = stats.t.ppf(0.975, len(values) - 1) * spread
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.half_width == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("nu", [1, 2, 3, 4, 7, 30, 101])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_the_quantile_is_that_of_scipy(nu: int, confidence: float) -> None:
    assert student_quantile(nu, confidence) == pytest.approx(stats.t.ppf((1 + confidence) / 2, nu), rel=1e-9)


def test_one_and_two_degrees_of_freedom_in_closed_form() -> None:
    for t in (0.0, 0.3, 2.0, 50.0):
        assert within(t, 1) == pytest.approx(2 / math.pi * math.atan(t), abs=1e-15)
        assert within(t, 2) == pytest.approx(t / math.sqrt(2 + t * t), abs=1e-15)


def test_one_seed_has_no_interval() -> None:
    found = estimate([54.9])
    assert (found.mean, found.half_width) == (54.9, None)
