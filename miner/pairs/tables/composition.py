"""What the pairs are made of, without labels: how many images they really use, and from which parts of the data they come."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, Vectors
from miner.pairs.arithmetic.k_means import cluster_numbers

_TENTH = 10
_FEW = 3


def vector_clusters(vectors: Vectors, seed: int) -> Rows:
    """The cluster of each row, of sqrt(n / 2) clusters by k-means, int64 (n,)."""
    return cluster_numbers(vectors, max(1, round((len(vectors) / 2) ** 0.5)), seed)


def composition(degree: Rows, clusters: Rows, labels: NDArray[np.int64] | None) -> dict[str, Any]:
    """How the ends of all pairs spread over images, over clusters of the vectors and over classes.

    A pair has two ends. The effective number of images is exp(H), with the entropy H of the shares that images have of all ends:
    the number of images that would give the same entropy if they had equal shares.

    Args:
        degree: partners of each image, int64 (n,).
        clusters: of `vector_clusters`.
        labels: int64 (n,), -1 where unknown, or None.
    """
    images, ends = len(degree), int(degree.sum())
    shares = np.sort(degree)[::-1] / max(ends, 1)
    used = shares[shares > 0]
    effective = float(np.exp(-(used * np.log(used)).sum())) if ends else 0.0
    return {
        "effective_images": effective,
        "effective_share": effective / images,
        "largest_share": float(shares[0]),
        "tenth_share": float(shares[: -(-images // _TENTH)].sum()),
        "clusters": _parts(degree, clusters),
        "classes": None
        if labels is None or not (labels >= 0).any()
        else _parts(degree[labels >= 0], labels[labels >= 0]),
    }


def _parts(degree: Rows, part: Rows) -> dict[str, Any]:
    """Images and ends of each part, in the order of the parts' numbers; the share of the parts with the most ends."""
    numbers, images = np.unique(part, return_counts=True)
    ends = np.bincount(part, degree, minlength=int(numbers[-1]) + 1)[numbers].astype(np.int64)
    return {
        "number": len(numbers),
        "without_pairs": int((ends == 0).sum()),
        "three_largest_share": float(np.sort(ends)[-_FEW:].sum() / max(ends.sum(), 1)),
        "names": numbers.tolist(),
        "images": images.tolist(),
        "ends": ends.tolist(),
    }
