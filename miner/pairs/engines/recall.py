"""The recall of an approximate engine: the share of the true pairs of some images, its anchors, that the join found."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.artifacts.pairs.band import Band
from miner.engine import Record
from miner.pairs.arithmetic.cosine import float32_margin, rescore, unit_rows
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.base import RowPairs
from miner.statistics import wilson_interval

ANCHORS = 1000
_Z95 = 1.959964  # rounded as in records of earlier versions, so that the same pairs give the same bytes


def anchor_rows(images: int, seed: int) -> tuple[Rows, Rows]:
    """Two random sets of at most `ANCHORS` rows, ascending: one to measure recall on, and one to choose the effort on.

    The sets overlap only if there are too few images. Recall measured on the anchors of the choice would be too high.
    """
    order = np.random.default_rng([seed, 0x5EED]).permutation(images)
    return np.sort(order[:ANCHORS]), np.sort(order[-ANCHORS:])


def true_pairs(vectors: Vectors, anchors: Rows, band: Band, block_rows: int = 2048) -> Iterator[RowPairs]:
    """Row numbers of every pair of an anchor and another image in a band, by an exact scan.

    Args:
        vectors: the vectors as stored; they define the truth.
        block_rows: images that a thread compares with the anchors at once; changes the memory only.
    """
    lowest_score = band.low - float32_margin(vectors.dim)
    anchor_vectors = unit_rows(vectors.take(anchors))

    def scan(block: tuple[int, int]) -> RowPairs:
        row, column = np.nonzero(anchor_vectors @ unit_rows(vectors.read(*block)).T >= lowest_score)
        anchor, partner = anchors[row], block[0] + column
        other = anchor != partner
        anchor, partner = anchor[other], partner[other]
        similarity = rescore(vectors, anchor, partner)
        inside = band.contains(similarity)
        return anchor[inside], partner[inside]

    return Threads().map(scan, blocks(len(vectors), block_rows))


def pair_keys(pairs: RowPairs, images: int) -> Rows:
    """One number per pair, the same for (a, b) and (b, a); ascending for pairs a < b sorted by (a, b)."""
    return np.minimum(*pairs) * images + np.maximum(*pairs)


def are_among(keys: Rows, sorted_keys: Rows) -> NDArray[np.bool_]:
    """Whether each key is one of `sorted_keys`: bool (m,)."""
    numbers = np.searchsorted(sorted_keys, keys)
    return np.asarray(np.append(sorted_keys, -1)[numbers] == keys, bool)


def recall_record(truth: Iterable[RowPairs], found: RowPairs, anchors: Rows, images: int) -> Record:
    """Share of the true pairs of anchors that were found, with a 95 % interval, as JSON values; None if there are none.

    The pairs of one anchor are not independent: an anchor near the border of a cell misses many of its pairs. So the interval
    is Wilson's for an effective number of independent pairs: the number whose share would vary as much as the share of these
    pairs varies between anchors (variance of a ratio of sums over anchors). If all pairs are found, or none, nothing varies;
    then each anchor with a pair counts as one observation. If every image is an anchor, the recall is known and not estimated.

    Args:
        truth: all true pairs, as (anchor, partner), in parts.
        found: all pairs a < b of the join, sorted by (a, b).
        anchors: row numbers, ascending.
    """
    found_keys = pair_keys(found, images)
    true, recalled = np.zeros((2, len(anchors)), np.int64)
    for part in truth:
        anchor = np.searchsorted(anchors, part[0])
        true += np.bincount(anchor, minlength=len(anchors))
        recalled += np.bincount(anchor[are_among(pair_keys(part, images), found_keys)], minlength=len(anchors))
    return share_record(recalled, true, images, "pairs")


def share_record(recalled: Rows, true: Rows, images: int, name: str) -> Record:
    """The same from what was found, and what there is to find, of each anchor, int64 (anchors,); `name` is what is counted."""
    record: Record = {"anchors": len(true), name: int(true.sum())}
    if not true.any():
        return {"value": None, "low": None, "high": None, **record}
    value = float(recalled.sum() / true.sum())
    low, high = (
        (value, value) if len(true) == images else wilson_interval(value, _independent_pairs(recalled, true), _Z95)
    )
    return {"value": value, "low": low, "high": high, **record}


def _independent_pairs(recalled: Rows, true: Rows) -> float:
    """The number of independent pairs whose recall would vary as much as these found pairs of each anchor, (anchors,), do."""
    share = recalled.sum() / true.sum()
    if share in (0, 1):
        return float((true > 0).sum())
    spread = float(np.square(recalled - share * true).sum()) * len(true) / (len(true) - 1) / float(true.sum()) ** 2
    return float(min(share * (1 - share) / spread, true.sum())) if spread else float(true.sum())
