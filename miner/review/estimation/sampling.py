"""The order of the pairs for each reviewer: random inside each slice of similarity, with all slices from the start."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

LONGEST = 100_000
_LEAST_PER_SLICE = 5
_COMMON = 0


def slice_edges(low: float, high: float, slices: int) -> NDArray[np.float64]:
    """Edges of slices of equal width over a band, ascending, (slices + 1,)."""
    return np.linspace(low, high, slices + 1)


def slice_numbers(similarity: NDArray[np.floating], edges: NDArray[np.float64]) -> Indices:
    """The slice of each pair. A pair on an edge belongs to the upper slice, a pair outside all slices to the nearest one.

    Args:
        similarity: (n,).
        edges: (slices + 1,), ascending.
    Returns:
        (n,), from 0 to slices - 1.
    """
    return np.clip(np.searchsorted(edges, similarity, side="right") - 1, 0, len(edges) - 2)


def allocate(sizes: Sequence[int], labels: int) -> NDArray[np.float64]:
    """How `labels` are shared out to slices: first a few for every slice, then the rest in proportion to the pairs.

    The few are five, or half of an equal share if that is less. Proportional allocation is never worse than sampling without
    slices (Cochran, Sampling Techniques, 1977, section 5.6), and needs no guess of the precision of a slice.

    Args:
        sizes: number of pairs of each slice.
    Returns:
        Weights (slices,), zero for empty slices; they sum to min(labels, sum of sizes), up to rounding.
    """
    pairs = np.asarray(sizes, np.float64)
    filled = np.count_nonzero(pairs)
    if not filled:
        return pairs
    total = min(float(labels), pairs.sum())
    least = np.minimum(pairs, min(_LEAST_PER_SLICE, total / filled / 2))
    rest = pairs - least
    return np.asarray(least + rest * (total - least.sum()) / rest.sum())


def interleave(parts: Sequence[Indices], weights: Sequence[float] | NDArray[np.float64]) -> Indices:
    """Several sequences merged into one. Every beginning of the result contains each of them in proportion to its weight.

    The order is that of Webster's divisor method: item j (from 0) of a part of weight w stands at (j + 1/2) / w.
    """
    used = [(part, weight) for part, weight in zip(parts, weights, strict=True) if len(part) and weight > 0]
    if not used:
        return np.empty(0, np.int64)
    places = np.concatenate([(np.arange(len(part)) + 0.5) / weight for part, weight in used])
    return np.concatenate([part for part, _ in used])[np.argsort(places, kind="stable")]


class Sampler:
    """The order of the pairs for each reviewer. It depends only on the pairs, the options, and the name of the reviewer.

    The pairs of each slice are shuffled once. The first `overlap` share of them is common: every reviewer gets these pairs, in
    the same order. The others are individual: each reviewer gets them in another order. Any beginning of either order is a simple
    random sample of its slice, whatever other reviewers do. Therefore all labels together give one stratified estimate.

    Args:
        numbers: slice of each pair, (n,).
        labels: number of pairs that each reviewer is asked to judge.
        overlap: share of common pairs, 0 to 1.
    Attributes:
        common: the common pairs in their order, at most `LONGEST`.
    """

    def __init__(self, numbers: Indices, slices: int, labels: int, overlap: float, seed: int) -> None:
        shuffle = np.random.default_rng([seed, _COMMON])
        pools = [shuffle.permutation(np.flatnonzero(numbers == number)) for number in range(slices)]
        shared = [round(overlap * len(pool)) for pool in pools]
        self.overlap, self.seed = overlap, seed
        self.weights = allocate([len(pool) for pool in pools], labels)
        self.common = interleave(
            [pool[: min(count, LONGEST)] for pool, count in zip(pools, shared, strict=True)], self.weights
        )[:LONGEST]
        self.pools = [pool[count:] for pool, count in zip(pools, shared, strict=True)]

    def individual(self, reviewer: str) -> Indices:
        """The individual pairs in the order for one reviewer, at most `LONGEST`."""
        name = int.from_bytes(hashlib.sha256(reviewer.encode()).digest()[:8])
        choose = np.random.default_rng([self.seed, 1 + name])
        parts = [choose.choice(pool, min(len(pool), LONGEST), replace=False) for pool in self.pools]
        return interleave(parts, self.weights)[:LONGEST]

    def is_common_next(self, common: int, individual: int) -> bool:
        """Whether a common pair comes next after these numbers of common and individual pairs."""
        return (common + 0.5) * (1 - self.overlap) < (individual + 0.5) * self.overlap
