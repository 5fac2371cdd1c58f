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

# As they are kept in a file of a strip, in ascending order of the rows; 2**31 rows are out of reach of an exact search.
CANDIDATE = np.dtype([("row", np.int32), ("other", np.int32), ("score", np.float32)])
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
        asking: between two sets, the rows of the one that has lists, which hold rows of the other; the first set or the second.
    """

    vectors: Vectors
    k: int
    high: float = float("inf")
    copies: Rows | None = None
    known_path: Path | None = None
    asking: range | None = None

    @property
    def listed(self) -> range:
        """The rows that have a list."""
        return range(len(self.vectors)) if self.asking is None else self.asking

    @property
    def choices(self) -> range:
        """The rows that lists hold."""
        if self.asking is None:
            return self.listed
        end, count = self.asking.stop, len(self.vectors)
        return range(end, count) if self.asking.start == 0 else range(self.asking.start)

    @property
    def end_a(self) -> int:
        """All pairs (a, b) to search have a < `end_a`; and b >= `min_b`."""
        return len(self.vectors) if self.asking is None else min(self.asking.stop, self.choices.stop)

    @property
    def min_b(self) -> int:
        """See `end_a`."""
        return len(self.known) if self.asking is None else self.end_a

    @property
    def pairs(self) -> float:
        """How many pairs there are to search."""
        count = len(self.vectors)
        return (count**2 - self.min_b**2) / 2 if self.asking is None else self.end_a * (count - self.end_a)

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
    if threads is None or not len(found):
        return _pruned(found, rule)
    first, last = int(found["row"].min()), int(found["row"].max())
    share = (last - first) // threads.count + 1

    def prune(low: int) -> Candidates:
        return _pruned(found[(found["row"] >= low) & (found["row"] < low + share)], rule)

    return np.concatenate(list(threads.map(prune, range(first, last + 1, share))))


def _pruned(found: Candidates, rule: ListRule) -> Candidates:
    """The same of candidates in one array; most rows have them by falling score then."""
    # The bits of a float32, read as an integer, rise with the number; those of a negative number fall.
    bits = found["score"].view(np.int32).astype(np.int64)
    bits ^= (bits >> 31) & 0x7FFFFFFF
    found = found[np.argsort((found["row"].astype(np.int64) << 32) - bits)]
    found = found[found["score"] >= _kth_scores(found, rule) - 2 * rule.margin]
    counts = _runs(found["row"])[1]
    crowded = np.repeat(counts > _MOST_PER_NEIGHBOUR * rule.k + _MOST, counts)
    if not crowded.any():
        return found
    settled, _ = _ranked(found[crowded], rule)
    found = np.concatenate([found[~crowded], settled])
    return found[np.argsort(found["row"], kind="stable")]


def ranked_lists(found: Candidates, rows: Rows, rule: ListRule) -> Lists:
    """The lists of some rows.

    Args:
        found: all candidates of these rows; fastest where most rows have them by falling score.
        rows: in ascending order, (m,).
    Returns:
        ids int64 (m, k) and cosines float64 (m, k), most similar first, then by number. A row with fewer than k others below
        the ceiling has `NOBODY` and NaN in the rest.
    """
    ids = np.full((len(rows), rule.k), NOBODY, np.int64)
    similarities = np.full((len(rows), rule.k), np.nan)
    best, cosines = _ranked(found, rule)
    starts, counts = _runs(best["row"])
    lists = np.repeat(np.searchsorted(rows, best["row"][starts]), counts)
    places = np.arange(len(best)) - np.repeat(starts, counts)
    ids[lists, places] = best["other"]
    similarities[lists, places] = cosines
    return ids, similarities


def _ranked(found: Candidates, rule: ListRule) -> tuple[Candidates, NDArray[np.float64]]:
    """The k best of each row with their cosines: by row, most similar first, then by number."""
    found = found[np.argsort(found["row"], kind="stable")]
    rows, others = found["row"], found["other"]
    cosines = rescore(rule.vectors, rows, others)
    order = np.arange(len(found))
    # Scores order most lists as cosines do; only the other lists are sorted.
    ahead, behind = slice(None, -1), slice(1, None)
    swapped = (cosines[ahead] < cosines[behind]) | (
        (cosines[ahead] == cosines[behind]) & (others[ahead] > others[behind])
    )
    unsorted = np.isin(rows, rows[behind][swapped & (rows[ahead] == rows[behind])]).nonzero()[0]
    order[unsorted] = unsorted[np.lexsort((others[unsorted], -cosines[unsorted], rows[unsorted]))]
    order = order[cosines[order] <= rule.high]
    starts, counts = _runs(rows[order])
    best = order[np.arange(len(order)) - np.repeat(starts, counts) < rule.k]
    return found[best], cosines[best]


def _kth_scores(found: Candidates, rule: ListRule) -> NDArray[np.float32]:
    """For each candidate, the k-th best score of its row among those that surely count; -inf where there are fewer."""
    starts, counts = _runs(found["row"])
    certain = rule.certain(found["score"])
    passed = np.cumsum(certain)
    places: Rows = passed - np.repeat(passed[starts] - certain[starts], counts)
    kth = np.full(len(starts), -np.inf, np.float32)
    last = certain & (places == rule.k)
    kth[np.repeat(np.arange(len(starts)), counts)[last]] = found["score"][last]
    return np.repeat(kth, counts)


def _runs(values: Rows) -> tuple[Rows, Rows]:
    """Where runs of equal values begin, and how long they are."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1)) if len(values) else np.empty(0, np.int64)
    return starts, np.diff(np.append(starts, len(values)))
