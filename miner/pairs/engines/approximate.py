"""Approximate engines: built, set to look as far as the wanted recall needs, and measured."""

from typing import Any, Protocol

import numpy as np

from miner.artifacts.embeddings.vectors import Rows, Vectors
from miner.artifacts.pairs.band import Band
from miner.engine.records import Record
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.band_join import Engine, FloodError
from miner.pairs.engines.faiss_search import Pairs, sorted_pairs
from miner.pairs.engines.recall import anchor_rows, are_among, pair_keys, recall_record, true_pairs
from miner.pairs.options import PairsOptions


class ApproximateEngine(Engine, Protocol):
    """Proposes most of the pairs, and more of them the harder it looks.

    Attributes:
        effort: how hard it looks.
    """

    effort: int

    @property
    def efforts(self) -> list[int]:
        """What to choose from, ascending."""
        ...

    def search(self, rows: Rows, effort: int, limit: int) -> Pairs:
        """Pairs a < b with a in ascending `rows`, sorted by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        ...

    def record(self) -> Record:
        """The settings of the index, as JSON values."""
        ...


class ApproximateSearch:
    """Makes the engine of a join: in this process the one that was set up, in another process its equal.

    Unless the options say how hard to look, that is chosen on anchors that are not those on which recall is measured.

    Args:
        options: name an approximate engine.
        vectors: as stored.
        band: of the pairs.
    """

    def __init__(self, options: PairsOptions, vectors: Vectors, band: Band) -> None:
        self.options, self.vectors, self.band = options, vectors, band
        self.engine: ApproximateEngine | None = self._built()
        self.effort = self._chosen_effort(self.engine)

    def __call__(self) -> ApproximateEngine:
        if self.engine is None:
            self.engine = self._built()
        self.engine.effort = self.effort
        return self.engine

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "engine": None}

    def measured(self, found: Pairs) -> Record:
        """What share of the pairs in the band was found, and with which settings.

        Args:
            found: all pairs a < b that the join found, by (a, b).
        """
        images = len(self.vectors)
        anchors = anchor_rows(images, self.options.seed)[0]
        truth = true_pairs(self.vectors, anchors, self.band)
        return {"recall": recall_record(truth, found, anchors, images), "index": self().record()}

    def _built(self) -> ApproximateEngine:
        units = unit_rows(self.vectors.read(0, len(self.vectors)))
        options, threshold = self.options, self.band.low
        if options.engine == "ivf":
            from miner.pairs.engines.faiss_ivf import IvfEngine

            return IvfEngine(units, threshold, options.nlist, options.seed)
        from miner.pairs.engines.faiss_hnsw import HnswEngine

        return HnswEngine(units, threshold, options.links, options.ef_construction)

    def _chosen_effort(self, engine: ApproximateEngine) -> int:
        options = self.options
        if options.nprobe is not None:
            return min(options.nprobe, engine.efforts[-1])
        if options.ef_search is not None:
            return options.ef_search
        try:
            return least_effort(engine, self._pairs_to_find(), options.recall, len(self.vectors), options.max_pairs)
        except FloodError:
            return engine.efforts[-1]  # the join will find that out too, and say it better

    def _pairs_to_find(self) -> Pairs:
        """The pairs a < b whose first row is one of the anchors to choose on.

        Raises:
            FloodError: they alone are too many.
        """
        found: list[Pairs] = []
        count = 0
        for a, b in true_pairs(self.vectors, anchor_rows(len(self.vectors), self.options.seed)[1], self.band):
            found.append((a[a < b], b[a < b]))
            count += len(found[-1][0])
            if count > self.options.max_pairs:
                raise FloodError
        return sorted_pairs(*found)


def least_effort(engine: ApproximateEngine, truth: Pairs, recall: float, images: int, limit: int) -> int:
    """The first effort that finds that share of the true pairs a < b, else the last; as it is where there are no pairs.

    Raises:
        FloodError: the rows of the true pairs alone are in more than `limit` pairs.
    """
    if not len(truth[0]):
        return engine.effort
    rows, keys = np.unique(truth[0]), pair_keys(truth, images)
    for effort in engine.efforts:
        if are_among(keys, pair_keys(engine.search(rows, effort, limit), images)).mean() >= recall:
            break
    return effort
