"""Share of pairs in which each image is among the k nearest neighbours of the other.

Assumption: one-sided neighbours are hubs or strays, mutual ones are of one class (Qin et al. 2011, CVPR, k-reciprocal).
"""

import numpy as np

from . import Estimates, Rows, Slices, share


def reciprocity(neighbours: Rows, slices: Slices) -> Estimates:
    """Share of mutual pairs among those with at least one direction; arguments as `shared_neighbours`."""
    estimates = []
    for a, b in slices:
        forth, back = (neighbours[a] == b[:, None]).any(1), (neighbours[b] == a[:, None]).any(1)
        estimates.append(share((forth & back)[forth | back]))
    return np.nan_to_num(np.array(estimates))
