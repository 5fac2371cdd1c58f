"""The measure of recall against counting by hand, and its interval against simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.band import Band
from miner.pairs.engines.recall import anchor_rows, are_among, pair_keys, recall_record, true_pairs
from tests.pairs.vectors import adversarial, brute_force


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["random", "duplicates", "cluster", "grid"]),
    count=st.integers(2, 40),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_true_pairs_are_those_of_a_brute_force(kind, count, seed, data) -> None:
    vectors = adversarial(kind, count, 8, "float16", seed)
    truth = brute_force(vectors)
    anchors = np.unique(data.draw(st.lists(st.integers(0, count - 1), min_size=1)))
    inside = truth[np.triu_indices(count, 1)]
    low, high = sorted(data.draw(st.sampled_from([-1.0, 0.2, 0.8, 1.0, *inside[:5].tolist()])) for _ in range(2))
    (found,) = true_pairs(MemoryVectors(vectors), anchors, Band(low, high))
    wanted = [(a, b) for a in anchors for b in range(count) if b != a and low <= truth[min(a, b), max(a, b)] <= high]
    assert sorted(zip(*(side.tolist() for side in found), strict=True)) == wanted


def test_true_pairs_by_blocks_are_those_in_one() -> None:
    vectors = MemoryVectors(adversarial("random", 100, 8, "float16", 0))
    (whole,) = true_pairs(vectors, np.array([3, 50, 99]), Band(0.1, 0.9))
    parts = list(true_pairs(vectors, np.array([3, 50, 99]), Band(0.1, 0.9), block_rows=7))
    assert len(parts) == 15
    assert sorted((a, b) for part in parts for a, b in zip(*part, strict=True)) == sorted(zip(*whole, strict=True))


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))),
    st.sets(st.tuples(st.integers(0, 30), st.integers(0, 30))),
)
def test_pairs_are_looked_up_in_either_order(asked, known) -> None:
    known = sorted({(min(pair), max(pair)) for pair in known})
    keys = [
        pair_keys((np.array([a for a, _ in pairs], int), np.array([b for _, b in pairs], int)), 31)
        for pairs in (asked, known)
    ]
    assert are_among(*keys).tolist() == [(min(pair), max(pair)) in known for pair in asked]


def test_recall_by_hand() -> None:
    # Anchors 1 and 4 of ten images; 1 has partners 0, 2, 3 and 4 has partner 1.
    truth = [(np.array([1, 1]), np.array([0, 2])), (np.array([1, 4]), np.array([3, 1]))]
    found = np.array([0, 1, 7]), np.array([1, 3, 8])
    record = recall_record(truth, found, np.array([1, 4]), 10)
    assert (record["value"], record["anchors"], record["pairs"]) == (0.5, 2, 4)
    wilson = binomtest(2, 4).proportion_ci(method="wilson")  # 4 independent pairs spread as these do: by hand
    assert (record["low"], record["high"]) == pytest.approx((wilson.low, wilson.high))


def test_full_recall_of_a_sample_is_uncertain_of_all_it_is_not() -> None:
    truth = [(np.array([1, 1, 4]), np.array([0, 2, 1]))]
    everything = np.array([0, 1, 1]), np.array([1, 2, 4])
    nothing = np.array([2]), np.array([3])
    some = recall_record(truth, everything, np.array([1, 4, 6]), 10)
    assert some["value"] == some["high"] == 1
    assert some["low"] == pytest.approx(binomtest(2, 2).proportion_ci(method="wilson").low)
    none = recall_record(truth, nothing, np.array([1, 4, 6]), 10)
    assert (none["value"], none["low"]) == (0, 0) and 0 < none["high"] < 1
    truth = [(np.array([0, 1, 1, 2]), np.array([1, 0, 2, 1]))]
    whole = recall_record(truth, (np.array([0, 1]), np.array([1, 2])), np.arange(3), 3)
    assert whole["low"] == whole["value"] == whole["high"] == 1


def test_interval_covers_the_truth_if_misses_are_clustered() -> None:
    """An image misses all its pairs or none, so the pairs are far from independent."""
    rng = np.random.default_rng(0)
    images = 5_000
    degree = rng.geometric(0.1, images)
    missed = rng.random(images) < 0.1
    truth_value = degree[~missed].sum() / degree.sum()
    covered = narrow = 0
    for _ in range(400):
        anchors = np.sort(rng.permutation(images)[:200])
        anchor = np.repeat(anchors, degree[anchors])
        partner = images + np.arange(len(anchor))  # images beyond the anchors
        hit = ~missed[anchor]
        record = recall_record([(anchor, partner)], (anchor[hit], partner[hit]), anchors, 10**6)
        covered += record["low"] <= truth_value <= record["high"]
        independent = 1.96 * np.sqrt(truth_value * (1 - truth_value) / record["pairs"])
        narrow += abs(record["value"] - truth_value) > independent
    assert covered >= 364  # 91 % of 400, at 95 %
    assert narrow > 120  # what an interval for independent pairs would have missed


def test_anchors_of_recall_are_not_those_of_the_choice() -> None:
    judges, choosers = anchor_rows(5000, 3)
    assert len(judges) == len(choosers) == 1000 == len(np.unique(judges))
    assert not set(judges) & set(choosers)
    assert not np.array_equal(judges, anchor_rows(5000, 4)[0])
    assert np.array_equal(anchor_rows(300, 3)[0], np.arange(300))
