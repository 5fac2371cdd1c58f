"""Hubness of a neighbour graph: images in the neighbour lists of very many images, and images in no list."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from miner.artifacts.embeddings.vectors import Rows
from miner.statistics import skewness

_HUBS = 12
_STEP_ROWS = 1 << 16


def in_degrees(ids: Rows) -> Rows:
    """The number of neighbour lists that each image is in, int64 (n,): N_k of the literature.

    Args:
        ids: int64 (n, k), the graph.
    """
    counts = np.zeros(len(ids), np.int64)
    for start in range(0, len(ids), _STEP_ROWS):
        counts += np.bincount(ids[start : start + _STEP_ROWS].ravel(), minlength=len(ids))
    return counts


def hubness(in_degree: Rows, k: int, keys: Sequence[str]) -> dict[str, Any]:
    """Record of the in-degrees: skewness, share of antihubs, full distribution, and the most frequent neighbours.

    The skewness measures hubness (Radovanovic, Nanopoulos, Ivanovic: Hubs in space, JMLR 11, 2010, equation 1).

    Args:
        in_degree: int64 (n,), as `in_degrees` gives them; their mean is k.
        k: neighbours per image.
        keys: the keys of the images.
    """
    degrees, images = np.unique(in_degree, return_counts=True)
    order = np.lexsort((np.arange(len(in_degree)), -in_degree))
    return {
        "k": k,
        "skewness": skewness(in_degree),
        "antihubs": float((in_degree == 0).mean()),
        "in_degree": {"max": int(in_degree.max()), "lists": degrees.tolist(), "images": images.tolist()},
        "hubs": [{"row": int(row), "key": keys[row], "in_degree": int(in_degree[row])} for row in order[:_HUBS]],
    }
