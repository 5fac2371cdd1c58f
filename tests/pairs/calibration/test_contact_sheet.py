import numpy as np
import pytest
from PIL import Image

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.pairs.band import Band
from miner.errors import MinerError
from miner.pairs.calibration.contact_sheet import draw_sheets, sheet_rows
from miner.pairs.calibration.images import ReadImages
from miner.pairs.tables.found import FoundPairs
from tests.pairs.vectors import fan

BAND = Band(0.5, 0.9)


def pairs_of(similarity: np.ndarray) -> FoundPairs:
    return FoundPairs(np.zeros(len(similarity), np.int64), 1 + np.arange(len(similarity)), similarity)


def test_rows_hold_random_pairs_of_their_slice() -> None:
    near = pairs_of(np.random.default_rng(0).uniform(0.4, 1.0, 5000))
    rows = sheet_rows(near, BAND, near.select(near.similarity < 0.7), seed=0)
    drawn = [row.pairs for row in rows if row.pairs is not None]
    assert len(drawn) == 1 + 8 + 1 + 8 and all(len(pairs) == 6 for pairs in drawn)
    edges = np.arange(0.95, 0.44, -0.05)  # the upper edge of each row, from above the band to below it
    for pairs, high in zip(drawn[:10], edges, strict=False):
        assert (pairs.similarity <= high + 1e-9).all() and (pairs.similarity >= high - 0.05 - 1e-9).all()
    assert drawn[10].similarity.min() > 0.65 and drawn[-1].similarity.max() < 0.45
    again, other = (sheet_rows(near, BAND, near, seed) for seed in (0, 1))
    assert np.array_equal(again[1].pairs.b, drawn[0].b) and not np.array_equal(other[1].pairs.b, drawn[0].b)


def test_no_pair_leaves_an_empty_row() -> None:
    rows = sheet_rows(pairs_of(np.array([0.5, 0.9])), BAND, pairs_of(np.empty(0)), seed=0)
    assert [0 if row.pairs is None else len(row.pairs) for row in rows] == [0, 0, 1, *[0] * 6, 1, 0]


def test_images_that_are_gone_are_grey_and_changed_ones_refused(make_embeddings, monkeypatch) -> None:
    images = ReadImages(EmbeddingStore(make_embeddings(fan(0, 10, 20))))
    monkeypatch.setattr(ReadImages, "entries", {"k00000": None, "k00001": None})
    monkeypatch.setattr(ReadImages, "image", lambda self, key: Image.new("RGB", (40, 30), "red"))
    path = images.store.folder / "sheet.png"
    draw_sheets(path, sheet_rows(pairs_of(np.array([0.6, 0.62])), BAND, pairs_of(np.empty(0)), seed=0), images)
    with Image.open(path) as sheet:
        colours = {colour: count for count, colour in sheet.getcolors(1 << 16)}
    assert colours[(255, 0, 0)] == 3 * 72 * 72 and colours[(225, 225, 225)] >= 72 * 72
    monkeypatch.undo()
    with pytest.raises(MinerError, match="made in a test"):
        draw_sheets(path, sheet_rows(pairs_of(np.array([0.6])), BAND, pairs_of(np.empty(0)), seed=0), images)
