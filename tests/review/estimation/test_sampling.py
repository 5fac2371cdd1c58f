import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.review.estimation.sampling import LONGEST, Sampler, allocate, interleave, slice_edges, slice_numbers

SIZES = [4000, 2500, 1200, 600, 300, 100, 0, 40]


def numbers(sizes: list[int], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


def counts(sample: np.ndarray, slice_of: np.ndarray, slices: int) -> np.ndarray:
    return np.bincount(slice_of[sample], minlength=slices)


def test_slices_cover_the_band_and_edges_belong_above() -> None:
    edges = slice_edges(0.8, 0.9, 5)
    assert edges == pytest.approx([0.8, 0.82, 0.84, 0.86, 0.88, 0.9])
    values = np.asarray([0.7999, 0.8, 0.8199, edges[1], 0.8999, 0.9, 0.90001])
    assert slice_numbers(values, edges).tolist() == [0, 0, 0, 1, 4, 4, 4]


@given(st.lists(st.integers(0, 500), min_size=1, max_size=12), st.integers(1, 400))
def test_allocation_is_proportional_and_leaves_no_slice_out(sizes: list[int], labels: int) -> None:
    given_out = allocate(sizes, labels)
    assert given_out.sum() == pytest.approx(min(labels, sum(sizes)))
    assert (given_out <= np.asarray(sizes) + 1e-9).all()
    assert (given_out[np.asarray(sizes) > 0] > 0).all()
    filled = [(share, size) for share, size in zip(given_out, sizes, strict=True) if size]
    assert all(x <= y + 1e-9 for (x, n), (y, m) in zip(sorted(filled), sorted(filled)[1:], strict=False) if n <= m)


def test_plenty_of_labels_are_spread_in_proportion() -> None:
    given_out = allocate(SIZES, 1000)
    assert given_out == pytest.approx(1000 * np.asarray(SIZES) / sum(SIZES), abs=10)
    assert given_out[-1] >= 5


def test_every_beginning_holds_each_part_in_proportion() -> None:
    weights = [60, 30, 10]
    mixed = interleave([np.arange(60), np.arange(100, 130), np.arange(200, 210)], weights)
    assert sorted(mixed) == sorted([*range(60), *range(100, 130), *range(200, 210)])
    for length in range(1, 101):
        held = np.bincount(mixed[:length] // 100, minlength=3)
        assert np.abs(held - np.asarray(weights) * length / 100).max() <= 1.0


def merged(sampler: Sampler, reviewer: str, count: int) -> list[int]:
    """The first pairs of a reviewer, while there are both common and own ones."""
    common, own, found = iter(sampler.common), iter(sampler.individual(reviewer)), []
    had = [0, 0]
    for _ in range(count):
        is_common = sampler.is_common_next(*had)
        found.append(int(next(common if is_common else own)))
        had[0 if is_common else 1] += 1
    return found


def test_the_order_is_that_of_the_seed_and_the_name() -> None:
    slice_of = numbers(SIZES)
    first, again, other = (merged(Sampler(slice_of, len(SIZES), 200, 0.2, seed), "Ada", 300) for seed in (7, 7, 8))
    assert first == again != other


@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5, 1.0])
def test_the_stated_part_is_common(overlap: float) -> None:
    sampler = Sampler(numbers(SIZES), len(SIZES), 200, overlap, 0)
    ada, bob = (merged(sampler, name, 200) for name in ("Ada", "Bob"))
    common = set(sampler.common.tolist())
    shared = [[pair for pair in pairs if pair in common] for pairs in (ada, bob)]
    assert shared[0] == shared[1]
    assert len(shared[0]) == pytest.approx(200 * overlap, abs=1)
    assert common.isdisjoint(sampler.individual("Ada").tolist())
    assert (ada == bob) == (overlap == 1)


def test_nobody_sees_a_pair_twice_and_everybody_can_see_all() -> None:
    slice_of = numbers(SIZES)
    sampler = Sampler(slice_of, len(SIZES), 50, 0.3, 0)
    assert sorted([*sampler.common.tolist(), *sampler.individual("Ada").tolist()]) == list(range(len(slice_of)))


def test_a_reviewers_labels_are_allocated_over_the_slices() -> None:
    slice_of = numbers(SIZES)
    sampler = Sampler(slice_of, len(SIZES), 200, 0.2, 0)
    pairs = np.asarray(merged(sampler, "Ada", 200))
    assert counts(pairs, slice_of, len(SIZES)) == pytest.approx(allocate(SIZES, 200), abs=2)
    assert (counts(pairs[:60], slice_of, len(SIZES))[np.asarray(SIZES) > 0] > 0).all()


def test_within_a_slice_every_pair_is_drawn_equally_often() -> None:
    slice_of = np.repeat([0, 1], [30, 10])
    drawn = np.zeros(40)
    for seed in range(1500):
        drawn[merged(Sampler(slice_of, 2, 12, 0.5, seed), "Ada", 12)] += 1
    large, small = drawn[:30] / 1500, drawn[30:] / 1500
    # Four standard errors of a share of 1500 draws.
    assert np.abs(large - large.mean()).max() < 4 * np.sqrt(large.mean() * (1 - large.mean()) / 1500)
    assert np.abs(small - small.mean()).max() < 4 * np.sqrt(small.mean() * (1 - small.mean()) / 1500)


def test_millions_of_pairs_give_a_bounded_order() -> None:
    sampler = Sampler(numbers([1_500_000, 400_000, 100_000]), 3, 200, 0.2, 0)
    assert (
        len(sampler.common) == len(sampler.individual("Ada")) == LONGEST == len(set(sampler.individual("Ada").tolist()))
    )
