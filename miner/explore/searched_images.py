"""Some images, searched as if there were no others: what each rule chooses among them, and pairs of any similarity."""

from functools import lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows, blocks
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.rule import Rule
from miner.engine import LocalExecutor
from miner.pairs.arithmetic.cosine import rescore, unit_rows
from miner.pairs.duplicates import are_duplicates, file_numbers
from miner.pairs.embedding import SearchedEmbedding
from miner.pairs.engines.base import STRIP_ROWS, FloodError
from miner.pairs.neighbours.candidates import NOBODY, ListRule, Lists
from miner.pairs.neighbours.lists import ListSearch
from miner.pairs.options import PairsOptions
from miner.pairs.rules import rule_pairs
from miner.pairs.tables.composition import vector_clusters
from miner.pairs.tables.found import FoundPairs

LISTED = 64  # neighbours of each image that are known, and the most that a rule may look at
WIDTH = 0.005  # of the similarities around a value
_MOST_PAIRS, _MOST_CHOSEN = 4_000_000, 10_000_000
_SHOWN = 12
_SCANNED = 64  # images whose similarities to all others are computed for pairs that no list holds


class SearchedImages:
    """Some images of a store. Several threads may call every method.

    Attributes:
        rows: of the store, ascending.
        low: all pairs at or above this similarity are in `joined`.
        clusters: of the images, int64 (n,).
    """

    def __init__(self, store: EmbeddingStore, rows: Rows, low: float, device: str) -> None:
        options = PairsOptions(min=low, max=1.0, device=device, max_pairs=_MOST_PAIRS)
        files = file_numbers(store)[rows]
        searched = SearchedEmbedding(options, store, rows, files, Band(low, 1.0), LocalExecutor(), STRIP_ROWS)
        self.rows, self.low, self.files = rows, low, files
        self.labels = None if store.labels is None else store.labels[rows]
        self.vectors, self._memory, self._device = searched.vectors, searched.spare_memory, device
        self.clusters = vector_clusters(self.vectors, 0)
        self._all = self._last = (1.0, *self._search(1.0))
        self._lock = Lock()
        try:
            self.joined = searched.join().run_in_memory()
        except FloodError:  # very many copies of one image
            self.low, self.joined = float("inf"), FoundPairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        self.choose = lru_cache(8)(self._choose)

    def _choose(self, rule: Rule, band: Band) -> FoundPairs | None:
        """The pairs of a rule, as `miner pairs` chooses them among these images; None for a band that begins below `low`.

        Raises:
            FloodError: there are too many pairs.
        """
        if rule.name != "band":
            found = rule_pairs(rule, *self.lists(rule.listed, band.high), _MOST_CHOSEN)
            return found.select(band.contains(found.similarity))
        if band.low < self.low:
            return None
        return self.joined.select(self._in_band(band))

    def _in_band(self, band: Band) -> NDArray[np.bool_]:
        """Which of the joined pairs are in a band and no duplicates."""
        return band.contains(self.joined.similarity) & ~are_duplicates(self.joined, band.high, self.files)

    def _search(self, ceiling: float) -> Lists:
        rule = ListRule(self.vectors, min(LISTED, len(self.rows) - 1), ceiling, self.files)
        return ListSearch(rule, self._memory, self._device).in_memory()

    def knows(self, rule: Rule, ceiling: float) -> bool:
        """Whether a rule can be answered without another search."""
        return rule.name == "band" or self._reaching(rule.listed, ceiling) is not None

    def _reaching(self, k: int, ceiling: float) -> tuple[float, Rows, NDArray[np.float64]] | None:
        """Known lists that hold the first k entries below a ceiling."""
        return next((lists for lists in (self._all, self._last) if _reach(*lists, k, ceiling)), None)

    def lists(self, k: int, ceiling: float) -> Lists:
        """The k nearest of each image at or below a ceiling: from the known lists if they reach so far, else searched again."""
        with self._lock:
            self._last = self._reaching(k, ceiling) or (ceiling, *self._search(ceiling))
            ids, cosines = self._last[1:]
        above = (cosines > ceiling).sum(axis=1)
        places = above[:, None] + np.arange(min(k, ids.shape[1]))
        there, places = places < ids.shape[1], np.minimum(places, ids.shape[1] - 1)
        rows = np.arange(len(ids))[:, None]
        return np.where(there, ids[rows, places], NOBODY), np.where(there, cosines[rows, places], np.nan)

    def drawn(self, where: str, rule: Rule, band: Band, value: float, seed: int) -> FoundPairs:
        """A few random pairs, with the rows of the store.

        Args:
            where: chosen, by the rule; above the band; below it, right beneath its lower end; left, in the band and not chosen;
                near a value.
        """
        rng = np.random.default_rng(seed)
        if where == "near" or where == "below":
            found = self._near(value if where == "near" else band.low - WIDTH, rng)
        elif where == "above":
            found = _some(self.joined, np.flatnonzero(self.joined.similarity > band.high), rng)
        else:
            chosen = self.choose(rule, band)
            if chosen is None:  # the band begins below the pairs that are known
                found = self._near(rng.uniform(band.low, band.high), rng)
            elif where == "chosen":
                found = _some(chosen, np.arange(len(chosen)), rng)
            else:
                lowest = max(band.low, chosen.similarity.min(initial=1.0))
                count = len(self.rows)
                other = ~np.isin(self.joined.numbers(count), chosen.numbers(count))
                found = _some(self.joined, np.flatnonzero(other & self._in_band(Band(lowest, band.high))), rng)
        order = np.argsort(-found.similarity, kind="stable")
        return FoundPairs(self.rows[found.a[order]], self.rows[found.b[order]], found.similarity[order])

    def _near(self, value: float, rng: np.random.Generator) -> FoundPairs:
        """Random pairs of about this similarity, or those that come closest."""
        if value - WIDTH >= self.low or self.low == -1:
            return self.joined.select(_closest(np.abs(self.joined.similarity - value), rng))
        some = np.sort(rng.permutation(len(self.rows))[:_SCANNED])
        units = unit_rows(self.vectors.take(some))
        parts = [units @ unit_rows(self.vectors.read(*block)).T for block in blocks(len(self.rows), 4096)]
        distance = np.abs(np.concatenate(parts, axis=1) - value)
        distance[np.arange(len(some)), some] = np.inf
        numbers, others = np.divmod(_closest(distance.ravel(), rng), len(self.rows))
        a, b = np.unique(np.sort([some[numbers], others], axis=0), axis=1)
        return FoundPairs(a, b, rescore(self.vectors, a, b))


def _reach(searched: float, ids: Rows, cosines: NDArray[np.float64], k: int, ceiling: float) -> bool:
    """Whether lists below one ceiling hold the first k entries below another. A list that ends early holds all."""
    whole = (ids[:, -1] == NOBODY) | (ids.shape[1] == len(ids) - 1)
    return ceiling <= searched and bool((whole | ((cosines <= ceiling).sum(axis=1) >= k)).all())


def _closest(distance: NDArray[np.floating], rng: np.random.Generator) -> Rows:
    """Random entries within WIDTH; the smallest ones if there are few."""
    within = np.flatnonzero(distance <= WIDTH)
    if len(within) < _SHOWN:
        within = np.argsort(distance, kind="stable")[:_SHOWN]
        within = within[np.isfinite(distance[within])]
    return rng.permutation(within)[:_SHOWN]


def _some(pairs: FoundPairs, numbers: Rows, rng: np.random.Generator) -> FoundPairs:
    return pairs.select(rng.permutation(numbers)[:_SHOWN])
