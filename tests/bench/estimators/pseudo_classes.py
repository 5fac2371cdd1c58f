"""Clusters in place of classes: k-means on the vectors, with the number of clusters of the best silhouette.

Assumption: the clusters are the classes. Only the data's owner knows how fine the classes are.
"""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from . import Estimates, Slices, Units, share

_COUNTS = (2, 3, 5, 8, 12, 20, 32, 50)
_SILHOUETTE_ROWS = 2000


def pseudo_classes(units: Units, slices: Slices, seed: int = 0) -> Estimates:
    """Share of pairs inside one cluster.

    Args:
        units: unit rows, (n, d).
        slices: the pairs.
        seed: of k-means and of the sample for the silhouette.
    """
    centred = units - units.mean(axis=0)
    rank = min(32, *units.shape)
    projected = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -rank:]
    best = max((_clusters(projected, count, seed) for count in _COUNTS), key=lambda found: found[0])[1]
    return np.array([share(best[a] == best[b]) for a, b in slices])


def _clusters(rows: np.ndarray, count: int, seed: int) -> tuple[float, np.ndarray]:
    found = KMeans(count, n_init=2, random_state=seed).fit_predict(rows)
    sample = min(_SILHOUETTE_ROWS, len(rows))
    return float(silhouette_score(rows, found, sample_size=sample, random_state=seed)), found
