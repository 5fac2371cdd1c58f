"""Truth as a hidden class behind several tests (Hui and Walter 1980, Biometrics 36; Dawid and Skene 1979).

Several tests vote on each pair; each slice is a population with its own prevalence of pairs of one class. If the tests are
independent given the truth, and their rates of hits and of false alarms are the same in all populations, then two tests and two
populations determine everything. Pairs that fool one test tend to fool the others, which breaks the assumption.
"""

import numpy as np
from numpy.typing import NDArray

from . import Estimates

_STEPS = 500


def latent_class(votes: list[NDArray[np.bool_]]) -> Estimates:
    """Prevalence of each population by expectation maximisation.

    Args:
        votes: per population, bool (pairs, tests); the last population is random pairs, which ties down false alarms.
    Returns:
        the prevalence of every population but the last.
    """
    tests = votes[0].shape[1]
    patterns = (np.arange(2**tests)[:, None] >> np.arange(tests)) & 1
    counts = np.array([np.bincount(v @ (1 << np.arange(tests)), minlength=2**tests) for v in votes], np.float64)
    counts /= np.maximum(counts.sum(1, keepdims=True), 1)
    prevalence = np.append(np.full(len(votes) - 1, 0.7), 0.1)
    hits, alarms = np.full(tests, 0.8), np.maximum(votes[-1].mean(0) / 2, 1e-4)
    for _ in range(_STEPS):
        one = prevalence[:, None] * _likelihood(patterns, hits)
        different = (1 - prevalence[:, None]) * _likelihood(patterns, alarms)
        posterior = one / (one + different)
        prevalence = (counts * posterior).sum(1)
        hits = _rates(counts * posterior, patterns)
        alarms = _rates(counts * (1 - posterior), patterns)
    return prevalence[:-1]


def _likelihood(patterns: NDArray[np.int64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.where(patterns == 1, rates, 1 - rates).prod(1))


def _rates(weights: NDArray[np.float64], patterns: NDArray[np.int64]) -> NDArray[np.float64]:
    mass = weights.sum(0)
    return np.clip(mass @ patterns / max(mass.sum(), 1e-12), 1e-4, 1 - 1e-4)
