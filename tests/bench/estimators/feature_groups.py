"""One encoder as three: its principal components dealt into three groups, each a test on the pairs, then `latent_class`.

Assumption: uncorrelated components err independently within a class.
"""

import numpy as np

from . import Estimates, Slices, Units
from .latent_class import latent_class
from .second_encoder import pair_similarity, top_threshold

_GROUPS = 3
_COMPONENTS = 96
_TOP = 0.1
_RANDOM_PAIRS = 50_000


def feature_groups(units: Units, slices: Slices, seed: int = 0) -> Estimates:
    """Precision of each slice.

    Args:
        units: unit rows, (n, d).
        slices: the pairs.
        seed: of the random pairs.
    """
    centred = units - units.mean(axis=0)
    components = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :_COMPONENTS]
    groups = [centred @ components[:, start::_GROUPS] for start in range(_GROUPS)]
    return tests_on_pairs([_unit(group) for group in groups], slices, _TOP, seed)


def tests_on_pairs(tests: list[Units], slices: Slices, top: float, seed: int) -> Estimates:
    """`latent_class` with one vote per representation: is the pair in its most similar share `top` of all pairs?"""
    a, b = np.random.default_rng(seed).integers(0, len(tests[0]), (2, _RANDOM_PAIRS))
    populations = [*slices, (a[a != b], b[a != b])]
    thresholds = [top_threshold(units, top, seed) for units in tests]
    return latent_class(
        [
            np.stack([pair_similarity(units, *pairs) >= low for units, low in zip(tests, thresholds, strict=True)], 1)
            for pairs in populations
        ]
    )


def _unit(rows: np.ndarray) -> Units:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)
