"""The estimators find the truth where their assumptions hold, so a failure on real images is a failure of the assumptions."""

import numpy as np
import pytest

from tests.bench.estimators.closure import closure
from tests.bench.estimators.empirical_null import empirical_null
from tests.bench.estimators.feature_groups import feature_groups
from tests.bench.estimators.latent_class import latent_class
from tests.bench.estimators.mixture import mixture
from tests.bench.estimators.pseudo_classes import pseudo_classes
from tests.bench.estimators.reciprocity import reciprocity
from tests.bench.estimators.second_encoder import second_encoder
from tests.bench.estimators.shared_neighbours import shared_neighbours
from tests.bench.estimators.view_retention import view_retention

RNG = np.random.default_rng(0)
CLASSES, PER_CLASS = 50, 20


def two_normals() -> tuple[np.ndarray, list[tuple[float, float]], list[float]]:
    """A histogram of similarities of different classes and of one class, slices, and the share of one class in each."""
    edges = np.linspace(-1, 1, 2001)
    different, same = (
        np.histogram(RNG.normal(centre, 0.1, count), edges)[0] for centre, count in ((0.1, 10**6), (0.5, 10_000))
    )
    slices = [(0.6, 0.9), (0.45, 0.5), (0.35, 0.45)]
    inside = [(edges[1:] > low) & (edges[:-1] <= high) for low, high in slices]
    return different + same, slices, [same[part].sum() / (different + same)[part].sum() for part in inside]


def classes(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows around the centres of 50 classes, and the classes."""
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    rows = RNG.normal(size=(CLASSES, 64))[labels] + noise * RNG.normal(size=(len(labels), 64))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def slices_of(labels: np.ndarray, shares: list[float], pairs: int = 1000) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of which a given share is of one class."""
    slices = []
    for share in shares:
        a = RNG.integers(0, len(labels), pairs)
        same = labels[a] * PER_CLASS + (a + RNG.integers(1, PER_CLASS, pairs)) % PER_CLASS
        other = (a + RNG.integers(PER_CLASS, len(labels) - PER_CLASS, pairs)) % len(labels)
        slices.append((a, np.where(np.arange(pairs) < share * pairs, same, other)))
    return slices


def test_normal_tail_and_mixture() -> None:
    counts, slices, truth = two_normals()
    assert truth[0] > 0.97 and 0.2 < truth[2] < 0.8
    np.testing.assert_allclose(empirical_null(counts, slices, "normal"), truth, atol=0.15)
    np.testing.assert_allclose(mixture(counts, slices), truth, atol=0.03)


def test_beta_tail() -> None:
    edges = np.linspace(-1, 1, 2001)
    counts = np.histogram(2 * RNG.beta(20, 30, 10**6) - 1, edges)[0]
    assert empirical_null(counts, [(0.1, 0.3)], "beta")[0] < 0.1
    assert empirical_null(counts + 500 * (edges[1:] > 0.5), [(0.5, 1.0)], "beta")[0] > 0.99


def test_neighbour_lists_by_hand() -> None:
    neighbours = np.array([[1, 2], [2, 0], [0, 3], [4, 2], [3, 0]])
    slices = [(np.array([0, 3]), np.array([1, 4])), (np.array([2]), np.array([3])), (np.array([0]), np.array([4]))]
    np.testing.assert_allclose(shared_neighbours(neighbours, slices), [0.25, 0, 0])
    np.testing.assert_allclose(reciprocity(neighbours, slices), [1, 1, 0])


def test_closure_of_cliques_and_of_chance() -> None:
    a, b = np.triu_indices(5, 1)
    clique = (np.concatenate([a, a + 5]), np.concatenate([b, b + 5]))
    np.testing.assert_allclose(closure(10, [clique], [clique]), [1])
    star = (np.zeros(4, int), np.arange(1, 5))
    np.testing.assert_allclose(closure(10, [star], [star]), [0])
    bridge = (np.array([4]), np.array([5]))
    assert closure(10, [clique, bridge], [clique, bridge]) == pytest.approx([np.sqrt(120 / 128), 0])


@pytest.mark.parametrize("shares", [[0.9, 0.5, 0.1]])
def test_estimates_from_vectors_with_clear_classes(shares: list[float]) -> None:
    units, labels = classes(noise=0.3)
    slices = slices_of(labels, shares)
    np.testing.assert_allclose(pseudo_classes(units, slices), shares, atol=0.05)
    np.testing.assert_allclose(second_encoder(units, slices, top=1 / CLASSES), shares, atol=0.05)
    np.testing.assert_allclose(feature_groups(classes(noise=0.6)[0], slices), shares, atol=0.1)


def test_latent_class_recovers_prevalence_of_independent_tests() -> None:
    prevalence, hits, alarms = [0.9, 0.6, 0.3, 0.05], np.array([0.8, 0.7, 0.9]), np.array([0.05, 0.1, 0.02])
    votes = []
    for share in prevalence:
        same = RNG.random(20_000) < share
        votes.append(RNG.random((len(same), 3)) < np.where(same[:, None], hits, alarms))
    np.testing.assert_allclose(latent_class(votes), prevalence[:-1], atol=0.03)


def test_view_retention_is_relative_to_the_image_itself() -> None:
    units, labels = classes(noise=0.3)
    slices = slices_of(labels, [1.0, 0.5, 0.0], pairs=200)
    rows = np.arange(len(units))
    np.testing.assert_allclose(view_retention(units, units, rows, slices), [1, 0.5, 0], atol=0.08)
    # Views that are unrelated to the images keep neither the pairs nor the image: nothing can be said, and 0 to 1 is kept to.
    lost = view_retention(units, RNG.permutation(units), rows, slices)
    assert np.all((lost >= 0) & (lost <= 1))
