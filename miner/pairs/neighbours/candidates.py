"""Candidates for neighbour lists: which other rows may be among the k most similar ones of a row, and the resulting lists.

A candidate has a direction: `other` may be in the list of `row`. Its score is a float32 product, which lies within
`float32_margin` of the cosine. A candidate cannot be among the k most similar ones if it scores more than two margins below the
k-th best score of its row. All other candidates are measured in float64 at the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, Vectors
from miner.pairs.arithmetic.cosine import float32_margin, rescore
from miner.pairs.arithmetic.threads import Threads

# As they are kept in a file of a strip, in ascending order of the rows.
CANDIDATE = np.dtype([("row", np.int64), ("other", np.int64), ("score", np.float32)])
NOBODY = -1
# Ties beyond this many per row are settled at once, so that copies of one image do not fill the memory.
_MOST_PER_NEIGHBOUR, _MOST = 4, 64

Candidates = NDArray[np.void]
Lists = tuple[Rows, NDArray[np.float64]]


@dataclass(frozen=True)
class ListRule:
    """What decides the neighbour list of a row.

    Attributes:
        vectors: the vectors as stored; they define the truth.
        k: neighbours per row.
        high: others above this cosine are near-duplicates and no neighbours.
        copies: rows of one number are copies of one file and no neighbours of each other, int64 (n,); None if nothing is known.
        known_path: file of the lists of the first rows among themselves, as `ListSearch` writes their ids.
    """

    vectors: Vectors
    k: int
    high: float = float("inf")
    copies: Rows | None = None
    known_path: Path | None = None

    @property
    def known(self) -> Rows:
        """The lists in the file, int64 (m, at most k): only pairs with one of the rows from m on have to be searched."""
        return np.empty((0, self.k), np.int64) if self.known_path is None else np.load(self.known_path, mmap_mode="r")

    @property
    def margin(self) -> float:
        """How far a score can lie from the cosine."""
        return float32_margin(self.vectors.dim)

    def possible(self, rows: Rows, others: Rows, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which candidates are neither the row itself, nor surely above the ceiling, nor a copy."""
        possible = (rows != others) & (scores <= self.high + self.margin)
        if self.copies is not None:
            possible &= self.copies[rows] != self.copies[others]
        return np.asarray(possible, bool)

    def certain(self, scores: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which of the possible candidates surely lie below the ceiling."""
        return np.asarray(scores <= self.high - self.margin, bool)


def candidates(rows: Rows, others: Rows, scores: NDArray[np.floating]) -> Candidates:
    """Candidates as one array, in any order."""
    made = np.empty(len(rows), CANDIDATE)
    made["row"], made["other"], made["score"] = rows, others, scores
    return made


def both_ways(
    rule: ListRule, lowest: NDArray[np.floating], a: Rows, b: Rows, scores: NDArray[np.floating]
) -> tuple[Candidates, Candidates]:
    """The candidates of row a, and those of row b, that pairs of rows make.

    Args:
        lowest: for each row of the set the lowest score that matters, (n,).
        a, b, scores: row numbers and the score of each pair, (m,).
    """
    possible = rule.possible(a, b, scores)
    a, b, scores = a[possible], b[possible], scores[possible]
    of_a, of_b = (scores >= lowest[side] for side in (a, b))
    return candidates(a[of_a], b[of_a], scores[of_a]), candidates(b[of_b], a[of_b], scores[of_b])


def pruned(parts: Iterable[Candidates], rule: ListRule, threads: Threads | None) -> Candidates:
    """The candidates that can still be in a list, in ascending order of their rows."""
    found = np.concatenate([np.empty(0, CANDIDATE), *parts])
    found = found[np.lexsort((-found["score"], found["row"]))]
    found = found[found["score"] >= (_kth_scores(found, rule) - 2 * rule.margin)]
    most = _MOST_PER_NEIGHBOUR * rule.k + _MOST
    counts = _runs(found["row"])[1]
    crowded = np.repeat(counts > most, counts)
    if not crowded.any():
        return found
    settled, _ = _ranked(found[crowded], rule, threads)
    return np.sort(np.concatenate([found[~crowded], settled]), order="row", kind="stable")


def ranked_lists(found: Candidates, first: int, last: int, rule: ListRule, threads: Threads | None) -> Lists:
    """The lists of the rows in [first, last), of all their candidates.

    Returns:
        ids int64 (m, k) and cosines float64 (m, k), most similar first, then by number. A row with fewer than k others below
        the ceiling has `NOBODY` and NaN in the rest.
    """
    ids = np.full((last - first, rule.k), NOBODY, np.int64)
    similarities = np.full((last - first, rule.k), np.nan)
    best, cosines = _ranked(found, rule, threads)
    starts, counts = _runs(best["row"])
    places = np.arange(len(best)) - np.repeat(starts, counts)
    ids[best["row"] - first, places] = best["other"]
    similarities[best["row"] - first, places] = cosines
    return ids, similarities


def _ranked(found: Candidates, rule: ListRule, threads: Threads | None) -> tuple[Candidates, NDArray[np.float64]]:
    """The k best of each row with their cosines: by row, most similar first, then by number."""
    # A cosine is the same from both ends, so it is measured once.
    low, high = np.minimum(found["row"], found["other"]), np.maximum(found["row"], found["other"])
    keys, places = np.unique(low * np.int64(len(rule.vectors)) + high, return_inverse=True)
    measured = rescore(rule.vectors, *np.divmod(keys, len(rule.vectors)), threads)
    cosines = measured[places]
    order = np.lexsort((found["other"], -cosines, found["row"]))
    order = order[cosines[order] <= rule.high]
    starts, counts = _runs(found["row"][order])
    best = order[np.arange(len(order)) - np.repeat(starts, counts) < rule.k]
    return found[best], cosines[best]


def _kth_scores(found: Candidates, rule: ListRule) -> NDArray[np.float32]:
    """For each candidate, the k-th best score of its row among those that surely count; -inf where there are fewer."""
    certain = rule.certain(found["score"])
    rows, scores = found["row"][certain], found["score"][certain]
    starts, counts = _runs(rows)
    full = counts >= rule.k
    kth = np.full(len(rule.vectors), -np.inf, np.float32)
    kth[rows[starts[full]]] = scores[starts[full] + rule.k - 1]
    return np.asarray(kth[found["row"]], np.float32)


def _runs(values: Rows) -> tuple[Rows, Rows]:
    """Where runs of equal values begin, and how long they are."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1)) if len(values) else np.empty(0, np.int64)
    return starts, np.diff(np.append(starts, len(values)))
