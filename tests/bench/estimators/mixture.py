"""Two normal distributions fitted to all similarities by expectation maximisation: of different classes, and of one class.

Assumption: both are normal, and the upper component is "one class".
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from . import Estimates

_STEPS = 300


def mixture(counts: NDArray[np.int64], slices: list[tuple[float, float]]) -> Estimates:
    """Posterior of the upper component in each slice; arguments as `empirical_null`."""
    edges = np.linspace(-1, 1, len(counts) + 1)
    centres, weights = (edges[1:] + edges[:-1]) / 2, counts / counts.sum()
    mean, spread = np.average(centres, weights=weights), np.sqrt(np.cov(centres, aweights=weights))
    means, spreads, shares = np.array([mean, mean + 2 * spread]), np.array([spread, spread]), np.array([0.9, 0.1])
    for _ in range(_STEPS):
        upper = _posterior(centres, means, spreads, shares)
        for number, part in enumerate((1 - upper, upper)):
            mass = part * weights
            shares[number] = mass.sum()
            means[number] = np.average(centres, weights=mass)
            spreads[number] = max(np.sqrt(np.average((centres - means[number]) ** 2, weights=mass)), 1e-3)
    upper = _posterior(centres, means, spreads, shares)
    estimates = []
    for low, high in slices:
        inside = (edges[1:] > low) & (edges[:-1] <= high)
        estimates.append(np.average(upper[inside], weights=np.maximum(counts[inside], 1e-9)))
    return np.array(estimates)


def _posterior(
    centres: NDArray[np.float64],
    means: NDArray[np.float64],
    spreads: NDArray[np.float64],
    shares: NDArray[np.float64],
) -> NDArray[np.float64]:
    logs = stats.norm.logpdf(centres[:, None], means, spreads) + np.log(shares)
    return np.asarray(1 / (1 + np.exp(np.clip(logs[:, 0] - logs[:, 1], -700, 700))))
