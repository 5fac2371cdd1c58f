"""Which pairs a reviewer sees, and in which order: random within slices of similarity, spread over them from the start."""

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
    """The slice of each pair. A pair on an edge belongs above it; what lies outside goes to the outermost slice.

    Args:
        similarity: (n,).
        edges: (slices + 1,), ascending.
    Returns:
        (n,), from 0 to slices - 1.
    """
    return np.clip(np.searchsorted(edges, similarity, side="right") - 1, 0, len(edges) - 2)


def allocate(sizes: Sequence[int], labels: int) -> NDArray[np.float64]:
    """How many of `labels` labels each slice gets: a few, so that each is known, and of the rest its share of the pairs.

    The few are five, or half of an equal share where that is less. Proportional allocation is never worse than sampling without
    slices (Cochran, Sampling Techniques, 1977, section 5.6), and needs no guess of the precision in each.

    Args:
        sizes: pairs of each slice.
        labels: in all.
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
    """One sequence out of several, so that every beginning of it holds each part in proportion to its weight.

    The order is that of Webster's divisor method: item j (from 0) of a part of weight w stands at (j + 1/2) / w.
    """
    used = [(part, weight) for part, weight in zip(parts, weights, strict=True) if len(part) and weight > 0]
    if not used:
        return np.empty(0, np.int64)
    places = np.concatenate([(np.arange(len(part)) + 0.5) / weight for part, weight in used])
    return np.concatenate([part for part, _ in used])[np.argsort(places, kind="stable")]


class Sampler:
    """The order of pairs for each reviewer; a function of the pairs, the options and the reviewer's name only.

    Within each slice the pairs are shuffled once. The first `overlap` of them are common: every reviewer gets them, in one
    order. The rest comes in an order of the reviewer's own. Any beginning of either is a simple random sample of its slice,
    whatever other reviewers do, so that all labels together can be used in one stratified estimate.

    Args:
        numbers: slice of each pair, (n,).
        slices: how many there are.
        labels: that each reviewer is asked for.
        overlap: share of common pairs, 0 to 1.
        seed: of all orders.
    Attributes:
        common: pairs that everyone gets, at most `LONGEST`.
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

    def own(self, reviewer: str) -> Indices:
        """The other pairs in the order for one reviewer, at most `LONGEST`."""
        name = int.from_bytes(hashlib.sha256(reviewer.encode()).digest()[:8])
        choose = np.random.default_rng([self.seed, 1 + name])
        parts = [choose.choice(pool, min(len(pool), LONGEST), replace=False) for pool in self.pools]
        return interleave(parts, self.weights)[:LONGEST]

    def is_common_next(self, common: int, own: int) -> bool:
        """Whether a common pair comes next for someone who has had so many common pairs and so many own ones."""
        return (common + 0.5) * (1 - self.overlap) < (own + 0.5) * self.overlap
