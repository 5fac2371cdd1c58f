"""Rules on neighbour lists: which pairs they choose, and the evidence for each pair."""

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, blocks
from miner.artifacts.pairs.rule import Rule
from miner.pairs.engines.base import FloodError
from miner.pairs.tables.found import FoundPairs, put_together

_ENTRIES = 1 << 22  # of lists that are compared at once
Cosines = NDArray[np.float64]


def rule_pairs(rule: Rule, ids: Rows, cosines: Cosines, limit: int) -> FoundPairs:
    """The pairs of a rule, all of which stand in the list of one of their images.

    This follows from the definition of every rule but `local`: 2 cos(x, y) - r(x) - r(y) >= t, where r(x) is the mean cosine of
    x to its k nearest (CSLS: Conneau et al., Word translation without parallel data, ICLR 2018, equation 3). Let t >= 0. Then
    cos(x, y) >= r(x) or cos(x, y) >= r(y); say the former. If y is not in the list of x, the k cosines in this list are at least
    cos(x, y), and so at least their own mean: all of them equal it, and so does cos(x, y). So 2 cos(x, y) - r(x) - r(y) is
    cos(x, y) - r(y). If that is above 0, y has a list whose mean is below cos(x, y), so not all its k cosines reach cos(x, y),
    and x is in it. There remains a tie at t = 0: all cosines in both lists equal cos(x, y). Then the numbers of the rows decide,
    as they do in every list.

    Args:
        rule: not `band`.
        ids: the lists, most similar first, -1 where a list ends early, int64 (n, m) with m = `rule.listed`.
        cosines: of the entries, NaN where a list ends early, float64 (n, m).
        limit: most pairs to accept.
    Returns:
        The pairs, sorted, with `mutual`, the `rank_a` of a in the list of b and the `rank_b` of b in that of a (from 1; 0 where it
        is not listed), `mean_a` and `mean_b`, the mean cosines of the two lists; and `local`, the locally scaled similarity, or
        `shared`, the number of common entries.
    Raises:
        FloodError: there are more pairs than the limit.
    """
    means = _means(cosines[:, : rule.neighbors])
    parts: list[FoundPairs] = []
    for start, stop in blocks(len(ids), max(_ENTRIES // (rule.neighbors * 2 * rule.listed), 1)):
        parts.append(_chosen(rule, ids, cosines, means, start, stop))
        if sum(map(len, parts)) > limit:
            raise FloodError(
                f"The rule chooses more than {limit:,} pairs. Give fewer --neighbors, search a part with --sample, or raise "
                "--max-pairs, or --memory. Nothing was cut off."
            )
    found = put_together(parts)
    return found.select(np.lexsort((found.b, found.a)))


def with_evidence(rule: Rule, ids: Rows, cosines: Cosines, pairs: FoundPairs) -> FoundPairs:
    """Any pairs with the evidence that `rule_pairs` gives for those of the rule; the arguments as there."""
    means = _means(cosines[:, : rule.neighbors])
    parts = [pairs.select(np.arange(*block)) for block in blocks(len(pairs), max(_ENTRIES // (2 * rule.listed), 1))]
    measured = [_ranked(rule, ids, means, part) for part in parts or [pairs]]
    return put_together([_scored(part, rule, _score(rule, ids, means, part)) for part in measured])


def _chosen(rule: Rule, ids: Rows, cosines: Cosines, means: Cosines, start: int, stop: int) -> FoundPairs:
    """The pairs in the lists of the rows in [start, stop); a pair that is in two lists is taken from that of its lower row."""
    k = rule.neighbors
    numbers, places = np.nonzero(ids[start:stop, :k] >= 0)
    x, y = numbers + start, ids[start:stop, :k][numbers, places]
    found = FoundPairs(np.minimum(x, y), np.maximum(x, y), cosines[x, places])
    found = _ranked(rule, ids, means, found.select((x < y) | (ids[y, :k] != x[:, None]).all(axis=1)))
    if rule.name in ("mutual", "shared"):
        found = found.select(found.evidence["mutual"])
    score = _score(rule, ids, means, found)
    found = _scored(found, rule, score)
    return found if score is None else found.select(score >= (rule.local if rule.name == "local" else rule.shared))


def _ranked(rule: Rule, ids: Rows, means: Cosines, pairs: FoundPairs) -> FoundPairs:
    """The pairs with the ranks of both images, whether both are listed, and the mean cosine in both lists."""
    ranks = {}
    for name, image, other in (("rank_a", pairs.a, pairs.b), ("rank_b", pairs.b, pairs.a)):
        there = ids[other, : rule.neighbors] == image[:, None]
        ranks[name] = np.where(there.any(axis=1), there.argmax(axis=1) + 1, 0).astype(np.int32)
    local = {"mean_a": means[pairs.a].astype(np.float32), "mean_b": means[pairs.b].astype(np.float32)}
    return pairs.with_evidence(mutual=(ranks["rank_a"] > 0) & (ranks["rank_b"] > 0), **ranks, **local)


def _score(rule: Rule, ids: Rows, means: Cosines, pairs: FoundPairs) -> Cosines | Rows | None:
    """The number that `local` or `shared` compares with its threshold, (m,); None for other rules."""
    if rule.name == "local":
        return np.asarray(2 * pairs.similarity - means[pairs.a] - means[pairs.b], np.float64)
    return _in_common(ids[pairs.a], ids[pairs.b]) if rule.name == "shared" else None


def _scored(pairs: FoundPairs, rule: Rule, score: Cosines | Rows | None) -> FoundPairs:
    if score is None:
        return pairs
    narrow = score.astype(np.float32 if rule.name == "local" else np.int32)
    return pairs.with_evidence(**{rule.name: narrow})


def _means(cosines: Cosines) -> Cosines:
    """The mean of each list, NaN for an empty one, (n,)."""
    listed = ~np.isnan(cosines)
    with np.errstate(invalid="ignore"):
        means: Cosines = np.where(listed, cosines, 0.0).sum(axis=1) / listed.sum(axis=1)
    return means


def _in_common(left: Rows, right: Rows) -> Rows:
    """How many entries two lists have in common, for each row of (m, k) lists; an entry occurs once in a list."""
    # An entry that is nobody gets a number of its own.
    both = np.concatenate([left, right], axis=1)
    both = np.where(both < 0, -1 - np.arange(both.shape[1]), both)
    both.sort(axis=1)
    return np.asarray((both[:, 1:] == both[:, :-1]).sum(axis=1), np.int64)
