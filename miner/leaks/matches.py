"""Which images of different sets belong together, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import ChosenVectors, Rows
from miner.artifacts.pairs.band import Band
from miner.engine import LocalExecutor, Progress
from miner.errors import MinerError
from miner.leaks.alignment import align
from miner.leaks.options import KINDS, LeaksOptions
from miner.leaks.pictures import Pictures
from miner.leaks.sets import OpenedSet
from miner.pairs.engines.base import STRIP_ROWS, FloodError
from miner.pairs.options import PairsOptions
from miner.pairs.tables.found import FoundPairs, put_together
from miner.pairs.two_sets.other_set import VectorSet
from miner.pairs.two_sets.search import TwoSets

BYTES, PIXELS, NEAR, SCENE = range(len(KINDS))
NEAREST = 5  # images of the larger set with which an image of the smaller one is aligned; the other way round, one
SMALL = 64  # pixels; images with a shorter side resemble each other more easily
COPY, SMALL_COPY = 0.85, 0.96  # the least correlation of copies; and of copies of which one is small
_BATCH = 64  # pairs that are aligned together
_MOST_PAIRS = 20_000_000
_EVERY_COSINE = Band(-1.0, 1.0)

# a, b: rows of the table of all images, the set of a before that of b. kind: the number in KINDS. The similarity is NaN for files
# with the same bytes, the others are NaN or 0 where images were not aligned; see `Alignment`.
MATCH = np.dtype(
    [(name, np.int64) for name in ("a", "b", "kind", "orientation")]
    + [(name, np.float64) for name in ("similarity", "correlation", "share")]
)
Matches = NDArray[np.void]


@dataclass(frozen=True)
class AllImages:
    """The images of all sets, one set behind the other.

    Attributes:
        table: `OpenedSet.images` of all sets.
        number: that of the set of each image, from 0, int64 (n,).
        content: the same for images of the same bytes, int64 (n,).
        vector: the row of the vector in its set, -1 without one, int64 (n,).
    """

    sets: Sequence[OpenedSet]
    table: pa.Table = field(init=False)
    number: Rows = field(init=False)
    content: Rows = field(init=False)
    vector: Rows = field(init=False)

    def __post_init__(self) -> None:
        table = pa.concat_tables([each.images for each in self.sets]).combine_chunks()
        number = np.repeat(np.arange(len(self.sets)), [len(each.images) for each in self.sets])
        indices = table["sha256"].combine_chunks().dictionary_encode().indices
        # An image without a checksum has the content of no other one.
        content = np.where(indices.is_valid(), indices.fill_null(0), -1 - np.arange(len(table)))
        values = (table, number, content, np.asarray(table["row"].fill_null(-1), np.int64))
        for name, value in zip(("table", "number", "content", "vector"), values, strict=True):
            object.__setattr__(self, name, value)

    def contents(self, number: int, *, embedded: bool) -> Rows:
        """The first image of each content in a set, in the order of contents; only images with a vector if `embedded`."""
        rows = np.flatnonzero((self.number == number) & ((self.vector >= 0) | (not embedded)))
        return np.asarray(rows[np.unique(self.content[rows], return_index=True)[1]], np.int64)


def find_matches(
    images: AllImages, pictures: Pictures, ceiling: float | None, least: int, options: LeaksOptions
) -> Matches:
    """Compare every two sets: pairs sorted by (a, b).

    Args:
        ceiling: cosine above which images show the same scene; None where only bytes are compared.
        least: the number of the least sure kind that counts.
        options: say where and in how much memory the search works.
    Raises:
        MinerError: very many pairs are above the ceiling, or an image has changed since it was embedded.
    """
    found = []
    for one, other in combinations(range(len(images.sets)), 2):
        found.append(_same_bytes(images, one, other))
        if ceiling is not None:
            found.append(_similar(images, pictures, one, other, ceiling, options))
    matches = np.concatenate(found)
    return _with_copies(images, matches[matches["kind"] <= least])


def _same_bytes(images: AllImages, one: int, other: int) -> Matches:
    a, b = (images.contents(number, embedded=False) for number in (one, other))
    _, in_a, in_b = np.intersect1d(images.content[a], images.content[b], return_indices=True)
    matches = np.zeros(len(in_a), MATCH)
    matches["a"], matches["b"], matches["kind"] = a[in_a], b[in_b], BYTES
    for name in ("similarity", "correlation", "share"):
        matches[name] = np.nan
    return matches


def _similar(
    images: AllImages, pictures: Pictures, one: int, other: int, ceiling: float, options: LeaksOptions
) -> Matches:
    """Matches of two sets whose bytes differ."""
    a, b = (images.contents(number, embedded=True) for number in (one, other))
    candidates = _candidates(_searched(images, one, a), _searched(images, other, b), ceiling, options)
    rows_a, rows_b = a[candidates.a], b[candidates.b]
    differ = images.content[rows_a] != images.content[rows_b]
    matches = np.zeros(int(differ.sum()), MATCH)
    matches["a"], matches["b"], matches["similarity"] = rows_a[differ], rows_b[differ], candidates.similarity[differ]
    pictures.read(np.unique(np.concatenate([matches["a"], matches["b"]])))
    with Progress("align", len(matches), "pairs") as progress:
        for start in range(0, len(matches), _BATCH):
            _compare(matches[start : start + _BATCH], pictures, ceiling)
            progress.advance(len(matches[start : start + _BATCH]))
    return matches[matches["kind"] < len(KINDS)]


def _searched(images: AllImages, number: int, rows: Rows) -> VectorSet:
    """Some images of a set, in this order."""
    each, chosen = images.sets[number], images.vector[rows]
    assert each.store is not None
    stored = each.store.stored
    vectors = stored if np.array_equal(chosen, np.arange(len(stored))) else ChosenVectors(stored, chosen)
    keys = images.table["key"].take(pa.array(rows)).combine_chunks()
    return VectorSet(each.name, each.identity, vectors, keys, None)


def _candidates(a: VectorSet, b: VectorSet, ceiling: float, options: LeaksOptions) -> FoundPairs:
    """Every pair above the ceiling, and the nearest images of each image in the other set."""
    asked = PairsOptions.parse({"device": options.first_device, "memory": options.memory, "max_pairs": _MOST_PAIRS})

    def search(here: VectorSet, there: VectorSet, band: Band, k: int | None = None) -> FoundPairs:
        k = k and min(k, len(there))
        found = TwoSets(asked, here, there, band, k, LocalExecutor(), STRIP_ROWS).pairs()
        return FoundPairs(found.a, found.b, found.similarity)

    try:
        above = search(a, b, Band(ceiling, 1.0))
    except FloodError as flood:
        raise MinerError(
            f"{str(flood).partition(':')[0]}: this encoder hardly tells these images apart. Raise --ceiling, or use another "
            "--encoder."
        ) from None
    k_of_a, k_of_b = (1, NEAREST) if len(b) <= len(a) else (NEAREST, 1)
    of_a, of_b = search(a, b, _EVERY_COSINE, k_of_a), search(b, a, _EVERY_COSINE, k_of_b)
    near = put_together([of_a, FoundPairs(of_b.b, of_b.a, of_b.similarity)])
    near = near.select(np.unique(near.numbers(len(b)), return_index=True)[1])
    near = near.select(near.similarity < ceiling)
    return put_together([above, near])


def _compare(matches: Matches, pictures: Pictures, ceiling: float) -> None:
    """Fill in the kind of some pairs; one more than the last kind where they are none."""
    small, digests, sides = pictures.small, pictures.digest, pictures.shorter_side
    rows = list(zip(matches["a"].tolist(), matches["b"].tolist(), strict=True))
    aligned = align(*(np.stack([small[pair[side]] for pair in rows]) for side in (0, 1)))
    for name in ("correlation", "share", "orientation"):
        matches[name] = getattr(aligned, name)
    same_pixels = np.array([digests[a] == digests[b] for a, b in rows])
    is_small = np.array([min(sides[a], sides[b]) < SMALL for a, b in rows])
    is_copy = aligned.correlation >= np.where(is_small, SMALL_COPY, COPY)
    same_scene = matches["similarity"] >= ceiling
    matches["kind"] = np.select([same_pixels, is_copy, same_scene], [PIXELS, NEAR, SCENE], len(KINDS))


def _with_copies(images: AllImages, matches: Matches) -> Matches:
    """The matches, and those of further images with the same bytes in the same sets: each once with the first image over there."""
    order = np.lexsort((images.content, images.number))
    codes = images.number * (2 * len(images.content) + 1) + images.content
    sorted_codes = codes[order]
    found = [matches]
    for side in ("a", "b"):
        starts = np.searchsorted(sorted_codes, codes[matches[side]], side="left")
        counts = np.searchsorted(sorted_codes, codes[matches[side]], side="right") - starts
        copies = np.repeat(matches, counts)
        places = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        copies[side] = order[places]
        found.append(copies)
    every = np.concatenate(found)
    _, first = np.unique(np.stack([every["a"], every["b"]], 1), axis=0, return_index=True)
    return every[first]
