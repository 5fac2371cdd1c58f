"""Agreement of a second encoder: the share of pairs that lie in its own most similar part of all pairs.

Assumption: the most similar part of all pairs, by the second encoder, is just the pairs of one class. So it must be right, and
it must be known how large a part that is: the share of random pairs that are of one class.
"""

import numpy as np

from . import Estimates, Slices, Units

_RANDOM_PAIRS = 200_000


def second_encoder(other: Units, slices: Slices, top: float, seed: int = 0) -> Estimates:
    """Share of pairs in the other encoder's top.

    Args:
        other: unit rows of the other encoder, in the same order, (n, d).
        slices: the pairs.
        top: share of all pairs that counts as of one class.
        seed: of the random pairs that show where the top begins.
    """
    threshold = top_threshold(other, top, seed)
    return np.array([np.mean(pair_similarity(other, a, b) >= threshold) for a, b in slices])


def top_threshold(units: Units, top: float, seed: int) -> float:
    """The similarity that a share `top` of random pairs reaches."""
    a, b = np.random.default_rng(seed).integers(0, len(units), (2, _RANDOM_PAIRS))
    return float(np.quantile(pair_similarity(units, a[a != b], b[a != b]), 1 - top))


def pair_similarity(units: Units, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines of pairs, float32 (m,)."""
    steps = range(0, len(a), 8192)
    return np.concatenate([np.einsum("ij,ij->i", units[a[s : s + 8192]], units[b[s : s + 8192]]) for s in steps])
