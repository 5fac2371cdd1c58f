"""Excess over a model of unrelated pairs: 1 - local false discovery rate (Efron 2004, JASA 99, "empirical null").

Most random pairs are of different classes, so the bulk of all similarities is taken for the null. Its centre and width come
from the lower half, where pairs of one class are rare; what the upper tail holds beyond the model is called semantic.
Assumption: the null has the tail of the chosen family. Pairs of classes that look alike (cat and dog) break it.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from . import Estimates

_ONE_SIGMA_BELOW = 0.158655


def empirical_null(
    counts: NDArray[np.int64], slices: list[tuple[float, float]], family: Literal["normal", "beta"]
) -> Estimates:
    """Share of each slice beyond the null.

    Args:
        counts: of all pairs in equal bins of similarity over [-1, 1].
        slices: lowest and highest similarity of each.
        family: of the null; beta is over [-1, 1].
    """
    edges = np.linspace(-1, 1, len(counts) + 1)
    below = np.cumsum(counts) / counts.sum()
    median, lower = (float(edges[1:][np.searchsorted(below, level)]) for level in (0.5, _ONE_SIGMA_BELOW))
    null = np.diff(_cdf(family, median, median - lower)(edges)) * counts.sum()
    estimates = []
    for low, high in slices:
        inside = (edges[1:] > low) & (edges[:-1] <= high)
        estimates.append(1 - null[inside].sum() / max(counts[inside].sum(), 1))
    return np.clip(np.array(estimates), 0, 1)


def _cdf(family: str, centre: float, width: float):
    if family == "normal":
        return stats.norm(centre, width).cdf
    mean, variance = (centre + 1) / 2, (width / 2) ** 2
    strength = mean * (1 - mean) / variance - 1
    beta = stats.beta(mean * strength, (1 - mean) * strength)
    return lambda similarity: beta.cdf((similarity + 1) / 2)
