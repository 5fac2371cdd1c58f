"""Neighbour lists of a search, and the truth about them."""

import numpy as np

from miner.artifacts.embeddings.vectors import blocks
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.neighbours.candidates import NOBODY, ListRule
from miner.pairs.neighbours.lists import ranked
from miner.pairs.neighbours.search import CandidateSearch
from miner.pairs.neighbours.search_gpu import GpuCandidateSearch
from tests.pairs.vectors import brute_force

THREADS = Threads(2)


def lists_of(search: CandidateSearch | GpuCandidateSearch, strip_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """All lists of a search, which proposes candidates strip by strip."""
    rule = search.rule
    strips = [search.candidates(*block) for block in blocks(rule.end_a, strip_rows)]
    rows = rule.listed
    ids, cosines = np.empty((len(rows), rule.k), np.int64), np.empty((len(rows), rule.k))
    for some, lists in ranked(strips, search.cells[rows.start : rows.stop], rule, THREADS):
        ids[some], cosines[some] = lists
    return ids, cosines


def wanted_lists(rule: ListRule) -> tuple[np.ndarray, np.ndarray]:
    """By a stable sort of all cosines; what is no neighbour sorts last and becomes nobody."""
    cosines = brute_force(rule.vectors.read(0, len(rule.vectors)))
    np.fill_diagonal(cosines, -np.inf)
    cosines[cosines > rule.high] = -np.inf
    if rule.copies is not None:
        cosines[rule.copies[:, None] == rule.copies] = -np.inf
    cosines = cosines[rule.listed.start : rule.listed.stop]
    cosines[:, ~np.isin(np.arange(cosines.shape[1]), rule.choices)] = -np.inf
    ids = np.argsort(-cosines, axis=1, kind="stable")[:, : rule.k]
    best = np.take_along_axis(cosines, ids, axis=1)
    return np.where(best == -np.inf, NOBODY, ids), np.where(best == -np.inf, np.nan, best)
