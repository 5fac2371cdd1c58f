"""Contact sheets: random pairs by similarity, as one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from miner.artifacts.pairs.band import Band
from miner.engine import Progress, committed
from miner.pairs.calibration.images import ReadImages
from miner.pairs.tables.found import FoundPairs

_SLICES, _PAIRS = 8, 6  # rows of a sheet, and pairs in a row
_SIDE, _GAP, _TEXT, _LINE = 72, 12, 190, 20  # pixels
_EMPTY = (225, 225, 225)


class Row(NamedTuple):
    """A row of a sheet: some pairs, and what they have in common; no pairs for a heading."""

    text: str
    pairs: FoundPairs | None = None


def sheet_rows(near: FoundPairs, band: Band, recommended: FoundPairs, seed: int) -> list[Row]:
    """The rows of both sheets, each from the most similar pairs down: around the band, and of the recommended rule.

    Args:
        near: pairs in the band, above it and below it.
    """
    rng = np.random.default_rng(seed)
    edges = np.linspace(band.low, band.high, _SLICES + 1)
    width = edges[1] - edges[0]
    inside = near.select(band.contains(near.similarity))
    rows = [Row(f"All pairs in the band {band} and just outside it. Pairs above it count as duplicates.")]
    rows += _slices(near.select(near.similarity > band.high), np.array([band.high, band.high + width]), rng, "above: ")
    rows += _slices(inside, edges, rng)
    rows += _slices(near.select(near.similarity < band.low), np.array([band.low - width, band.low]), rng, "below: ")
    if len(recommended):
        similarity = recommended.similarity
        rows.append(Row(f"Pairs of the recommended rule, {similarity.min():.3f} to {similarity.max():.3f}"))
        rows += _slices(recommended, np.linspace(similarity.min(), similarity.max(), _SLICES + 1), rng)
    return rows


def _slices(pairs: FoundPairs, edges: NDArray[np.float64], rng: np.random.Generator, what: str = "") -> list[Row]:
    """Random pairs of each slice, the most similar slice first. The highest edge belongs to the highest slice."""
    rows = []
    for low, high in zip(edges[-2::-1], edges[:0:-1], strict=True):
        last = high == edges[-1]
        there = (pairs.similarity >= low) & ((pairs.similarity < high) | (last & (pairs.similarity == high)))
        numbers = np.flatnonzero(there)
        drawn = pairs.select(np.sort(rng.permutation(numbers)[:_PAIRS]))
        rows.append(Row(f"{what}{low:.3f} to {high:.3f}\npairs: {len(numbers):,}", drawn))
    return rows


def draw_sheets(path: Path, rows: Sequence[Row], images: ReadImages) -> None:
    """Draw the rows below each other. An image that is gone since it was embedded is a grey square.

    Raises:
        MinerError: an image has changed since it was embedded.
    """
    keys = images.store.metadata["key"]
    shown = sorted({int(row) for one in rows if one.pairs for row in (*one.pairs.a, *one.pairs.b)})
    tiles = {}
    with Progress("contact sheets", len(shown), "images") as progress:
        for row in shown:
            key = keys[row].as_py()
            image = images.image(key) if key in images.entries else Image.new("RGB", (1, 1), _EMPTY)
            tiles[row] = ImageOps.fit(image, (_SIDE, _SIDE))
            progress.advance()
    heights = [_SIDE + _GAP // 2 if one.pairs else 2 * _LINE for one in rows]
    sheet = Image.new("RGB", (_TEXT + _PAIRS * (2 * _SIDE + _GAP), sum(heights) + _GAP), "white")
    draw, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(14), _GAP
    for (text, pairs), height in zip(rows, heights, strict=True):
        draw.text((_GAP, top + (0 if pairs else _LINE // 2)), text, "black", font)
        for number, (a, b) in enumerate(zip(pairs.a, pairs.b, strict=True) if pairs else ()):
            left = _TEXT + number * (2 * _SIDE + _GAP)
            sheet.paste(tiles[int(a)], (left, top))
            sheet.paste(tiles[int(b)], (left + _SIDE, top))
        top += height
    with committed(path) as partial:
        sheet.save(partial, format="PNG")
