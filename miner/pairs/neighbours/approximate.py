"""Approximate neighbour lists: a FAISS index proposes the others of a row, and exact lists of some rows tell how many it misses."""

import numpy as np

from miner.artifacts.embeddings.vectors import ChosenVectors, JoinedVectors, Rows, blocks
from miner.artifacts.pairs.band import Band
from miner.engine import Record
from miner.pairs.engines.approximate import ApproximateSearch
from miner.pairs.engines.base import ApproximateEngine
from miner.pairs.engines.recall import anchor_rows, share_record
from miner.pairs.neighbours.candidates import Candidates, ListRule, candidates, pruned, ranked_lists
from miner.pairs.neighbours.lists import ListSearch
from miner.pairs.options import PairsOptions

_SCORES = 1 << 22  # of a call of the index; changes the memory only


class ApproximateLists(ApproximateSearch):
    """Makes the engine of a rule on lists. As the engine of a join it finds the near-duplicates, from the ceiling on.

    The effort is the smallest one with which the lists of the anchors for its choice have a share `--recall` of their neighbours.
    """

    def __init__(self, options: PairsOptions, rule: ListRule) -> None:
        self.rule = rule
        super().__init__(options, rule.vectors, Band(rule.high, rule.high))

    def source(self) -> "IndexCandidates":
        """What proposes candidates for the lists."""
        return IndexCandidates(self.rule, self())

    def measured_lists(self, ids: Rows) -> Record:
        """The recall of all lists, int64 (n, k), on anchors that did not choose the effort, and the settings of the index."""
        images = len(self.vectors)
        rows = anchor_rows(images, self.options.seed)[0]
        truth = exact_lists(self.rule, rows)
        recalled = are_listed(truth, ids[rows]).sum(axis=1)
        return {
            "recall": share_record(recalled, (truth >= 0).sum(axis=1), images, "neighbours"),
            "index": self().record(),
        }

    def _least_effort(self, engine: ApproximateEngine) -> int:
        rows = anchor_rows(len(self.vectors), self.options.seed)[1]
        truth, found = exact_lists(self.rule, rows), IndexCandidates(self.rule, engine)
        wanted = self.options.recall * (truth >= 0).sum()
        for effort in engine.efforts if wanted else []:
            engine.effort = effort
            ids, _ = ranked_lists(found.of(rows), rows, self.rule)
            if are_listed(truth, ids).sum() >= wanted:
                break
        return engine.effort


class IndexCandidates:
    """Proposes for the list of each row what the index of an engine finds.

    The index is asked for more rows until k of them surely are neighbours, and the last one surely is none: near-duplicates and
    copies may come before the neighbours. So lists miss only what the index does not reach.
    """

    def __init__(self, rule: ListRule, engine: ApproximateEngine) -> None:
        self.rule, self.engine = rule, engine
        self.cells = np.zeros(len(rule.vectors), np.int32)

    def candidates(self, start: int, stop: int) -> Candidates:
        """See `CandidateSource`."""
        return self.of(np.arange(start, stop))

    def of(self, rows: Rows) -> Candidates:
        """The candidates of some rows, by row."""
        rule, images = self.rule, len(self.rule.vectors)
        width, parts = min(2 * rule.k + 16, images), []
        while len(rows):
            waiting = []
            for low, high in blocks(len(rows), max(1, _SCORES // width)):
                batch = rows[low:high]
                scores, ids = self.engine.nearest(batch, width)
                possible = rule.possible(batch[:, None], ids, scores) & (ids >= 0)
                sure = np.where(possible & rule.certain(scores), scores, -np.inf)
                floors = np.partition(sure, -rule.k, axis=1)[:, -rule.k] - 2 * rule.margin
                complete = (scores[:, -1] < floors) | (ids[:, -1] < 0) | (width == images)
                numbers, places = np.nonzero(possible & complete[:, None])
                parts.append(candidates(batch[numbers], ids[numbers, places], scores[numbers, places]))
                waiting.append(batch[~complete])
            rows, width = np.concatenate(waiting), min(4 * width, images)
        return pruned(parts, rule, None)


def exact_lists(rule: ListRule, rows: Rows) -> Rows:
    """The exact lists of some rows of a rule, int64 (m, k): lists between two sets, these rows and all rows."""
    stored, count = rule.vectors, len(rows)
    files = np.arange(len(stored)) if rule.copies is None else rule.copies
    both = JoinedVectors(ChosenVectors(stored, rows), stored)
    # A row is a copy of itself, so it is not in its own list.
    asked = ListRule(both, rule.k, rule.high, np.concatenate([files[rows], files]), asking=range(count))
    ids, _ = ListSearch(asked).in_memory()
    return np.where(ids < 0, ids, ids - count)


def are_listed(ids: Rows, found: Rows) -> np.ndarray:
    """Whether each entry of lists is in the list of the same row in other lists; False for `NOBODY`, bool (m, k)."""
    rows, count = np.arange(len(ids))[:, None], max(ids.max(initial=0), found.max(initial=0)) + 1
    return (ids >= 0) & np.isin(rows * count + ids, (rows * count + found)[found >= 0])
