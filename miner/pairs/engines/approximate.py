"""Approximate engines: how one is built, how its effort is chosen for a wanted recall, and how its recall is measured."""

from typing import Any

import numpy as np

from miner.artifacts.embeddings.vectors import Vectors
from miner.artifacts.pairs.band import Band
from miner.engine import Record
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.engines.base import ApproximateEngine, FloodError, RowPairs
from miner.pairs.engines.faiss_search import sorted_pairs
from miner.pairs.engines.recall import anchor_rows, are_among, pair_keys, recall_record, true_pairs
from miner.pairs.options import PairsOptions


class ApproximateSearch:
    """Makes the engine of a join. This process gets the engine that was set up; another process builds an equal one.

    The effort is chosen on other anchors than those on which recall is measured, unless the options give the effort.
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

    def measured(self, found: RowPairs) -> Record:
        """The recall of a join that found these pairs a < b, sorted by (a, b), and the settings of the index."""
        images = len(self.vectors)
        anchors = anchor_rows(images, self.options.seed)[0]
        truth = true_pairs(self.vectors, anchors, self.band)
        return {"recall": recall_record(truth, found, anchors, images), "index": self().record()}

    def _built(self) -> ApproximateEngine:
        unit_vectors = unit_rows(self.vectors.read(0, len(self.vectors)))
        options, threshold = self.options, self.band.low
        from miner.pairs.engines.faiss_approximate import HnswEngine, IvfEngine

        if options.engine == "ivf":
            return IvfEngine(unit_vectors, threshold, options.nlist, options.seed)
        return HnswEngine(unit_vectors, threshold, options.links, options.ef_construction)

    def _chosen_effort(self, engine: ApproximateEngine) -> int:
        options = self.options
        if options.nprobe is not None:
            return min(options.nprobe, engine.efforts[-1])
        if options.ef_search is not None:
            return options.ef_search
        return self._least_effort(engine)

    def _least_effort(self, engine: ApproximateEngine) -> int:
        options = self.options
        try:
            return least_effort(engine, self._pairs_to_find(), options.recall, len(self.vectors), options.max_pairs)
        except FloodError:
            return engine.efforts[-1]  # the join floods too, and its message names the densest images

    def _pairs_to_find(self) -> RowPairs:
        """The pairs a < b of which a is an anchor for the choice of the effort; FloodError if they exceed --max-pairs."""
        found: list[RowPairs] = []
        count = 0
        for a, b in true_pairs(self.vectors, anchor_rows(len(self.vectors), self.options.seed)[1], self.band):
            found.append((a[a < b], b[a < b]))
            count += len(found[-1][0])
            if count > self.options.max_pairs:
                raise FloodError
        return sorted_pairs(*found)


def least_effort(engine: ApproximateEngine, truth: RowPairs, recall: float, images: int, limit: int) -> int:
    """The smallest effort that finds a share `recall` of the true pairs a < b; the largest one if no effort does.

    Without true pairs, the effort that the engine has.

    Raises:
        FloodError: the first rows of the true pairs alone have more than `limit` pairs.
    """
    if not len(truth[0]):
        return engine.effort
    rows, keys = np.unique(truth[0]), pair_keys(truth, images)
    for effort in engine.efforts:
        if are_among(keys, pair_keys(engine.search(rows, effort, limit), images)).mean() >= recall:
            break
    return effort
