import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from miner.review.estimation.precision import Estimate, Stratum, effective_labels, stratified, wilson
from miner.review.estimation.sampling import allocate

HUGE = 10**12


@given(st.integers(1, 300), st.data())
def test_wilson_of_few_labels_equals_scipy(labelled: int, data: st.DataObject) -> None:
    same = data.draw(st.integers(0, labelled))
    found = wilson(Stratum(HUGE, labelled, same))
    expected = binomtest(same, labelled).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_price_and_bonett_by_hand() -> None:
    """Two slices of equal weight with 8 of 10 and 9 of 10: q = 9/12 and 10/12."""
    found = stratified([Stratum(HUGE, 10, 8), Stratum(HUGE, 10, 9)])
    centre, variance = (0.75 + 10 / 12) / 2, 0.25 * (0.75 * 0.25 / 12 + (10 / 12) * (2 / 12) / 12)
    half = 1.959964 * variance**0.5
    assert found.value == pytest.approx(0.85)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_effective_labels_match_the_hypergeometric_variance() -> None:
    rng = np.random.default_rng(0)
    draws = rng.hypergeometric(60, 40, 30, 200_000) / 30
    assert 0.6 * 0.4 / draws.var() == pytest.approx(effective_labels(Stratum(100, 30, 0)), rel=0.02)


def test_a_census_is_exact() -> None:
    found = stratified([Stratum(10, 10, 7), Stratum(30, 30, 30)])
    assert (found.low, found.value, found.high) == pytest.approx((37 / 40,) * 3)


def test_weights_are_those_of_the_pairs_not_of_the_labels() -> None:
    assert stratified([Stratum(900, 10, 5), Stratum(100, 90, 90)]).value == pytest.approx(0.9 * 0.5 + 0.1)


def test_nothing_is_known_without_labels() -> None:
    assert stratified([Stratum(10, 0, 0)]) == Estimate(None, 0.0, 1.0) == wilson(Stratum(10, 0, 0))


def test_a_slice_without_labels_could_hold_anything() -> None:
    found = stratified([Stratum(750, 750, 600), Stratum(250, 0, 0)])
    assert found.value == pytest.approx(0.8)
    assert (found.low, found.high) == pytest.approx((0.75 * 0.8, 0.75 * 0.8 + 0.25))


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=8))
def test_the_interval_holds_the_estimate_and_stays_inside(parts: list[tuple[int, int, int]]) -> None:
    strata = [Stratum(pairs, min(n, pairs), min(n, pairs, x)) for pairs, n, x in parts]
    for found in (stratified(strata), *map(wilson, strata)):
        assert 0.0 <= found.low <= found.high <= 1.0
        assert found.value is None or found.low <= found.value <= found.high


SKEWED = [23_500, 18_600, 6_900, 4_000, 2_500, 1_500, 1_000, 750, 650, 550]
EVEN = [1000] * 10


@pytest.mark.parametrize(
    ("sizes", "precision", "labels", "least"),
    [
        (SKEWED, [0.965, 0.97, 0.975, 0.985, 0.99, 0.995, 1, 1, 1, 1], 200, 0.94),
        (SKEWED, [0.965, 0.97, 0.975, 0.985, 0.99, 0.995, 1, 1, 1, 1], 50, 0.93),
        (SKEWED, [0.99, 0.995, *[1] * 8], 200, 0.94),
        (EVEN, [0.5] * 10, 200, 0.93),
        (EVEN, list(np.linspace(0, 1, 10)), 200, 0.93),
        (EVEN, [0.65, 0.7, 0.75, 0.78, 0.83, 0.88, 0.92, 0.95, 0.98, 1], 200, 0.93),
        ([50] * 10, [0.9] * 10, 200, 0.93),
        ([60, 50, 40], [0.9] * 3, 100, 0.93),
        ([2000], [0.97], 100, 0.94),
    ],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(
    sizes: list[int], precision: list[float], labels: int, least: float
) -> None:
    """4,000 reviews each: drawn without replacement, with the labels that the sampler gives to each slice."""
    pairs = np.asarray(sizes)
    same = np.round(pairs * np.asarray(precision)).astype(int)
    labelled = np.minimum(np.round(allocate(sizes, labels)).astype(int), pairs)
    rng = np.random.default_rng(0)
    drawn = np.stack(
        [rng.hypergeometric(*part, 4000) for part in zip(same, pairs - same, labelled, strict=True)], axis=1
    )
    truth, covered, values = same.sum() / pairs.sum(), 0, []
    for draw in drawn.tolist():
        found = stratified([Stratum(*part) for part in zip(sizes, labelled.tolist(), draw, strict=True)])
        covered += found.low <= truth <= found.high
        values.append(found.value)
    assert covered / 4000 >= least
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / 4000**0.5 + 1e-9)
