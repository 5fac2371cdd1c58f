"""How the ends of pairs spread: numbers by hand, clusters of clouds, and the warning."""

import numpy as np
import pytest
from scipy.stats import entropy

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.manifest import PairsManifest
from miner.pairs.arithmetic.k_means import cluster_numbers
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.pairs.tables.composition import composition, vector_clusters
from tests.pairs.vectors import fan


def clouds(count: int = 8, rows: int = 40, spread: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Rows around a few directions that are far apart, and the direction of each."""
    rng = np.random.default_rng(0)
    number = np.arange(count * rows) % count
    return (np.eye(count, 12)[number] + spread * rng.normal(size=(count * rows, 12))).astype(np.float32), number


def test_shares_by_hand() -> None:
    degree = np.array([6, 2, 2, 1, 1, 0, 0, 0, 0, 0])
    found = composition(
        degree, vector_clusters(MemoryVectors(fan(*range(10))), 0), np.array([0, 0, 0, 1, 1, 2, 2, 3, -1, -1])
    )
    assert found["effective_images"] == pytest.approx(np.exp(entropy(degree)))
    assert found["effective_share"] == pytest.approx(np.exp(entropy(degree)) / 10)
    assert (found["largest_share"], found["tenth_share"]) == (0.5, 0.5)
    classes = found["classes"]
    assert (classes["names"], classes["images"], classes["ends"]) == ([0, 1, 2, 3], [3, 2, 2, 1], [10, 2, 0, 0])
    assert (classes["number"], classes["without_pairs"], classes["three_largest_share"]) == (4, 2, 1.0)
    assert found["clusters"]["number"] <= 2 and sum(found["clusters"]["ends"]) == 12


def test_equally_used_images_count_whole() -> None:
    found = composition(np.full(30, 4), np.arange(30) % 4, None)
    assert found["effective_images"] == pytest.approx(30) and found["classes"] is None
    assert found["tenth_share"] == pytest.approx(0.1)


def test_no_pair_is_nothing() -> None:
    found = composition(np.zeros(5, np.int64), np.zeros(5, np.int64), None)
    assert (found["effective_images"], found["tenth_share"], found["clusters"]["three_largest_share"]) == (0, 0, 0)


def test_clusters_are_seeded_and_pure() -> None:
    vectors, number = clouds()
    found = cluster_numbers(MemoryVectors(vectors), 16, seed=1)
    np.testing.assert_array_equal(found, cluster_numbers(MemoryVectors(vectors), 16, seed=1))
    assert all(len(np.unique(number[found == cluster])) == 1 for cluster in np.unique(found))


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"min": 0.99, "max": 1.0}, True),
        ({"rule": "mutual", "max": 1.0}, False),
        ({"rule": "mutual", "max": 1.0, "most_similar": 0.05}, False),  # so few pairs cannot have images in all parts
    ],
)
def test_uneven_pairs_are_warned_of(make_embeddings, options, warned) -> None:
    vectors, number = clouds(count=10, spread=0.2)
    vectors[number == 0, 1:] *= 0.01  # the images of one cloud are much more similar than all others
    workspace = make_embeddings(vectors, labels=number.tolist())
    lines = pairs(PairsOptions(**options), workspace).lines
    made = PairsManifest.read(workspace).composition
    assert made is not None and (made.tenth_share > 0.5) == (warned or "most_similar" in options)
    assert any("a tenth of the images holds" in line for line in lines) == warned
    assert any(f"{made.classes.without_pairs} of 10 classes" in line for line in lines)
