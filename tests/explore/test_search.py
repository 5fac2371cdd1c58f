"""A part of the images answers first, and says so; then all of them."""

from unittest.mock import Mock

import pytest

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.rule import Rule
from miner.errors import MinerError
from miner.explore import search as module
from miner.explore.search import Search
from tests.explore.scenes import HASHES, IMAGES, vectors

SHARED, BAND = Rule("shared", 5, shared=3), Rule("band")
LABELS = [row % 6 for row in range(IMAGES)]


@pytest.fixture
def store(make_embeddings) -> EmbeddingStore:
    return EmbeddingStore(make_embeddings(vectors(), LABELS, hashes=HASHES))


def test_all_of_few_images_are_counted_with_their_classes(store) -> None:
    search = Search(store, "cpu")
    search._work()
    facts = search.facts(BAND, Band(0.5, 0.9))
    assert facts["exact"] and facts["images"] == IMAGES and search.progress()["done"]
    assert sum(search.histogram()) == IMAGES * (IMAGES - 1) / 2
    assert [part["images"] for part in facts["parts"]] == [10] * 6 and facts["parts"][3]["row"] == 3
    assert sum(part["ends"] for part in facts["parts"]) == 2 * facts["pairs"]
    assert facts["label_precision"] > 0.5


def test_a_sample_answers_until_all_are_searched(store, monkeypatch) -> None:
    exact = Search(store, "cpu")
    exact._work()
    monkeypatch.setattr(module, "_FIRST_IMAGES", 30)
    monkeypatch.setattr(module, "_ANCHORS", 20)
    search = Search(store, "cpu")
    steps = search._steps()
    next(steps)
    first, band = search.facts(SHARED, Band(-1, 0.9)), search.facts(BAND, Band(0.5, 0.9))
    assert (first["images"], first["exact"], search.progress()["done"]) == (30, False, False)
    assert band["interval"] is None and "image_coverage" not in band and not band["exact"]
    next(steps)
    low, high = search._estimated(Band(0.5, 0.9))["interval"]
    assert low < exact.facts(BAND, Band(0.5, 0.9))["pairs"] < high
    for rule, limits in ((SHARED, Band(-1, 0.9)), (BAND, Band(0.5, 0.9))):
        assert search.facts(rule, limits) == exact.facts(rule, limits)


def test_a_low_ceiling_is_searched_while_the_sample_answers(store, monkeypatch) -> None:
    exact = Search(store, "cpu")
    exact._work()
    monkeypatch.setattr(module, "_FIRST_IMAGES", 30)
    monkeypatch.setattr("miner.explore.searched_images.LISTED", 12)
    search, started = Search(store, "cpu"), []
    search._work()
    later = Mock(Thread=lambda target, args, daemon: started.append((target, args)) or Mock())
    monkeypatch.setattr(module, "threading", later)
    limits = Band(-1, 0.5)
    assert search.facts(SHARED, limits)["images"] == 30 and not search.progress()["done"]
    assert len(search.drawn("left", SHARED, limits, 0, 1)) and len(started) == 1
    version = search.progress()["version"]
    started[0][0](*started[0][1])
    assert search.progress()["done"] and search.progress()["version"] > version
    assert search.facts(SHARED, limits) == exact.facts(SHARED, limits)


def test_more_images_than_are_searched_are_estimated(store, monkeypatch) -> None:
    for name, value in {"_FIRST_IMAGES": 20, "MOST_IMAGES": 40, "_ANCHORS": 20}.items():
        monkeypatch.setattr(module, name, value)
    search = Search(store, "cpu")
    search._work()
    assert search.progress()["done"] and search.facts(SHARED, Band(-1, 0.9))["images"] == 40
    band = search.facts(BAND, Band(0.5, 0.9))
    assert band["images"] == IMAGES and band["interval"] and not band["exact"]


def test_a_search_that_fails_says_why(store, monkeypatch) -> None:
    def failing(*_: object) -> None:
        raise MinerError("The free memory is too small.")

    monkeypatch.setattr(module, "SearchedImages", failing)
    search = Search(store, "cpu")
    search._work()
    assert search.progress()["problem"] == "The free memory is too small."
    with pytest.raises(MinerError, match="free memory"):
        search.facts(SHARED, Band(-1, 0.9))
