"""How many of the true pairs an approximate engine finds: measured on anchors whose pairs an exact scan knows."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.artifacts.pairs.band import Band
from miner.engine.records import Record
from miner.pairs.arithmetic.cosine import float32_margin, rescore, unit_rows
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.faiss_search import Pairs
from miner.statistics import wilson_interval

ANCHORS = 1000
_SCANNED_ROWS = 2048
_Z95 = 1.959964  # rounded as in records of earlier versions, so that the same pairs give the same bytes


def anchor_rows(images: int, seed: int) -> tuple[Rows, Rows]:
    """Two random sets of at most `ANCHORS` rows, ascending: one to measure recall on, one to choose the effort on.

    They do not overlap unless there are too few images: a search fitted to the anchors that judge it would look better than it is.
    """
    order = np.random.default_rng([seed, 0x5EED]).permutation(images)
    return np.sort(order[:ANCHORS]), np.sort(order[-ANCHORS:])


def true_pairs(vectors: Vectors, anchors: Rows, band: Band) -> Iterator[Pairs]:
    """Every pair of an anchor and another image in a band, by an exact scan.

    Args:
        vectors: as stored; they define the truth.
        anchors: row numbers.
        band: of the pairs.
    Yields:
        Anchors and partners, row numbers, for one block of partners after the other.
    """
    lowest = band.low - float32_margin(vectors.dim)
    anchor_units = unit_rows(vectors.take(anchors))

    def scan(block: tuple[int, int]) -> Pairs:
        row, column = np.nonzero(anchor_units @ unit_rows(vectors.read(*block)).T >= lowest)
        anchor, partner = anchors[row], block[0] + column
        other = anchor != partner
        anchor, partner = anchor[other], partner[other]
        similarity = rescore(vectors, anchor, partner)
        inside = band.contains(similarity)
        return anchor[inside], partner[inside]

    return Threads().map(scan, blocks(len(vectors), _SCANNED_ROWS))


def pair_keys(pairs: Pairs, images: int) -> Rows:
    """One number for each pair, whatever its order; ascending where pairs a < b are sorted by (a, b)."""
    return np.minimum(*pairs) * images + np.maximum(*pairs)


def are_among(keys: Rows, sorted_keys: Rows) -> NDArray[np.bool_]:
    """Which keys are among others: bool (m,)."""
    places = np.searchsorted(sorted_keys, keys)
    among: NDArray[np.bool_] = np.append(sorted_keys, -1)[places] == keys
    return among


def recall_record(truth: Iterable[Pairs], found: Pairs, anchors: Rows, images: int) -> Record:
    """Share of the true pairs of anchors that were found, with a 95 % interval, as JSON values; None if there are none.

    The pairs of one anchor are not independent: an image in a bad place misses many at once. So the interval is Wilson's for as
    many independent pairs as would spread as much as these do between anchors (the variance of a ratio of sums over anchors).
    Where none or all are missed and nothing spreads, each anchor that has a pair counts as one. Where every image is an anchor,
    nothing is estimated.

    Args:
        truth: anchors and partners, in parts.
        found: all pairs a < b, by (a, b).
        anchors: ascending.
        images: in all.
    """
    found_keys = pair_keys(found, images)
    true = np.zeros(len(anchors), np.int64)
    hit = np.zeros(len(anchors), np.int64)
    for part in truth:
        place = np.searchsorted(anchors, part[0])
        true += np.bincount(place, minlength=len(anchors))
        hit += np.bincount(place[are_among(pair_keys(part, images), found_keys)], minlength=len(anchors))
    record: Record = {"anchors": len(anchors), "pairs": int(true.sum())}
    if not true.any():
        return {"value": None, "low": None, "high": None, **record}
    value = float(hit.sum() / true.sum())
    low, high = (
        (value, value) if len(anchors) == images else wilson_interval(value, _independent_pairs(hit, true), _Z95)
    )
    return {"value": value, "low": low, "high": high, **record}


def _independent_pairs(hit: Rows, true: Rows) -> float:
    """How many independent pairs would tell as much about the share of hits as these, which come by anchors."""
    share = hit.sum() / true.sum()
    if share in (0, 1):
        return float((true > 0).sum())
    spread = float(np.square(hit - share * true).sum()) * len(true) / (len(true) - 1) / float(true.sum()) ** 2
    return float(min(share * (1 - share) / spread, true.sum())) if spread else float(true.sum())


def recall_in_words(record: Record) -> str:
    """For the line that a command prints."""
    if record["value"] is None:
        return f"recall could not be measured (no pair of {record['anchors']:,} sampled images lies in the band)"
    value, low, high = (_percent(record[name]) for name in ("value", "low", "high"))
    return f"recall {value} ({low} to {high}, on {record['pairs']:,} pairs of {record['anchors']:,} sampled images)"


def _percent(share: float) -> str:
    """Rounded down, so that it says 100 % only where nothing is missed."""
    return f"{math.floor(share * 10_000 + 1e-9) / 100:g} %"
