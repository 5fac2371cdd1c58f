"""What the page counts is what `miner pairs` finds."""

import numpy as np
import pytest

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.rule import Rule
from miner.artifacts.pairs.table import read_pairs
from miner.explore import searched_images as module
from miner.explore.searched_images import WIDTH, SearchedImages
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.explore.scenes import HASHES, IMAGES, vectors

KNN, SHARED, BAND = Rule("knn", 4), Rule("shared", 5, shared=3), Rule("band")
CHOICES = [
    {"rule": "band", "min": 0.5, "max": 0.9},
    {"rule": "knn", "neighbors": 4, "max": 0.99},
    {"rule": "knn", "neighbors": 4, "max": 0.6},
    {"rule": "mutual", "neighbors": 5, "min": 0.7, "max": 0.9},
    {"rule": "local", "neighbors": 6, "local": 0.05, "max": 0.95},
    {"rule": "shared", "neighbors": 5, "shared": 3, "max": 0.8},
]


@pytest.fixture
def workspace(make_embeddings):
    return make_embeddings(vectors(), hashes=HASHES)


@pytest.fixture
def part(workspace, monkeypatch) -> SearchedImages:
    monkeypatch.setattr(module, "LISTED", 12)  # so few that a low ceiling needs another search
    return SearchedImages(EmbeddingStore(workspace), np.arange(IMAGES), -1.0, "cpu")


def test_every_rule_finds_the_pairs_of_miner_pairs(workspace, part) -> None:
    found = {}
    for number, asked in enumerate(CHOICES):
        options = PairsOptions.parse({**asked, "device": "cpu"})
        band = Band(options.limits[0], asked["max"])
        chosen = part.choose(options.chosen_rule, band)
        pairs(options, workspace, force=True)
        table = read_pairs(workspace.pairs / "pairs.parquet", ("a", "b", "similarity"))
        found[number] = list(zip(chosen.a.tolist(), chosen.b.tolist(), strict=True))
        assert found[number] == list(zip(table["a"].to_pylist(), table["b"].to_pylist(), strict=True)), asked
        assert np.allclose(chosen.similarity, table["similarity"].to_numpy(), atol=1e-6)
    assert len(set(map(tuple, found.values()))) == len(CHOICES) and min(map(len, found.values())) > 5


def test_lists_below_a_ceiling_are_searched_again_when_short(part, monkeypatch) -> None:
    searched = []
    search = part._search
    monkeypatch.setattr(part, "_search", lambda ceiling: searched.append(ceiling) or search(ceiling))
    for ceiling in (0.99, 0.5, 0.45, 0.98):
        part.choose(KNN, Band(-1.0, ceiling))
    assert searched == [0.5]


def test_a_band_below_the_joined_pairs_is_not_counted(workspace) -> None:
    high = SearchedImages(EmbeddingStore(workspace), np.arange(IMAGES), 0.4, "cpu")
    assert high.choose(BAND, Band(0.3, 0.9)) is None and len(high.choose(BAND, Band(0.4, 0.9))) > 5


@pytest.mark.parametrize("low", [-1.0, 0.9])
def test_pairs_near_a_value_have_it_joined_or_not(workspace, low) -> None:
    some = SearchedImages(EmbeddingStore(workspace), np.arange(IMAGES), low, "cpu")
    units = vectors().astype(float)
    for value in (-0.3, 0.2, 0.55):
        found = some.drawn("near", SHARED, Band(-1.0, 0.9), value, seed=1)
        assert len(found) > 1 and (found.a < found.b).all()
        assert np.allclose(found.similarity, (units[found.a] * units[found.b]).sum(axis=1), atol=1e-6)
        assert np.abs(found.similarity - value).max() < 3 * WIDTH


def test_random_pairs_lie_where_they_were_asked_for(part) -> None:
    band = Band(0.3, 0.8)
    chosen = set(part.choose(SHARED, band).numbers(IMAGES).tolist())
    drawn = {where: part.drawn(where, SHARED, band, 0, 2) for where in ("chosen", "left", "above", "below")}
    assert all(map(len, drawn.values()))
    assert set(drawn["chosen"].numbers(IMAGES).tolist()) <= chosen
    assert not set(drawn["left"].numbers(IMAGES).tolist()) & chosen and drawn["left"].similarity.min() >= 0.3
    assert drawn["above"].similarity.min() > 0.8 and drawn["below"].similarity.max() <= 0.3 + 1e-6
    assert (np.diff(drawn["left"].similarity) <= 0).all()
    other = part.drawn("chosen", SHARED, band, 0, 3)
    assert set(other.numbers(IMAGES).tolist()) != set(drawn["chosen"].numbers(IMAGES).tolist())
