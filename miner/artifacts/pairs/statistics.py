"""Statistics of pairs: counts, degrees and, where labels exist, precision and coverage."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows

BIN_WIDTH = 0.01


def pair_statistics(a: Rows, b: Rows, images: int) -> dict[str, Any]:
    """Counts of pairs, of the images in them, and of the partners of each image.

    Args:
        a, b: row numbers, each pair once, (pairs,).
        images: number of images that were searched for pairs.
    """
    degree = np.bincount(np.concatenate([a, b]), minlength=1)
    degree = degree[degree > 0]
    partners, counts = np.unique(degree, return_counts=True)
    return {
        "pairs": len(a),
        "images_in_pairs": len(degree),
        "image_coverage": len(degree) / images,
        "degree": {
            "mean": float(degree.mean()) if len(degree) else 0.0,
            "median": float(np.median(degree)) if len(degree) else 0.0,
            "max": int(degree.max(initial=0)),
            "partners": [0, *partners.tolist()],
            "images": [images - len(degree), *counts.tolist()],
        },
    }


def label_statistics(
    a: Rows, b: Rows, similarity: NDArray[np.floating], labels: NDArray[np.int64] | None
) -> dict[str, Any] | None:
    """Share of pairs whose labels agree, and share of images in a pair, by similarity; None without labels.

    Pairs and images with an unknown label (-1) are left out, so that precision and coverage are of the same images. Labels are
    only reported: no pair is chosen by its labels.

    Returns:
        Overall numbers, and "by_threshold" in steps of `BIN_WIDTH` from the highest threshold. A step has the pairs at or above
        "min", their precision, the number of their images and its share of all labelled images; and "within", the pairs from
        "min" to the next threshold and their precision.
    """
    if labels is None:
        return None
    known = (labels[a] >= 0) & (labels[b] >= 0)
    a, b, similarity = a[known], b[known], similarity[known]
    same = labels[a] == labels[b]
    labelled = int((labels >= 0).sum())
    return {
        "pairs_with_labels": len(a),
        "precision": float(same.mean()) if len(same) else None,
        "chance": chance_precision(labels),
        "by_threshold": _curve(similarity, same, _highest(a, b, similarity, len(labels)), labelled),
    }


def _curve(
    similarity: NDArray[np.floating], same: NDArray[np.bool_], highest: NDArray[np.floating], labelled: int
) -> list[dict[str, Any]]:
    order = np.argsort(-similarity, kind="stable")
    falling, right = -similarity[order], np.concatenate([[0], np.cumsum(same[order])])
    falling_highest = np.sort(-highest)
    curve, before = [], 0
    for threshold in _thresholds(similarity):
        pairs = int(np.searchsorted(falling, -threshold, side="right"))
        if not pairs:
            continue
        images = int(np.searchsorted(falling_highest, -threshold, side="right"))
        within = pairs - before
        precision = float((right[pairs] - right[before]) / within) if within else None
        step = {"min": round(threshold, 4), "pairs": pairs, "precision": float(right[pairs] / pairs), "images": images}
        curve.append(step | {"coverage": images / labelled, "within": {"pairs": within, "precision": precision}})
        before = pairs
    return curve


def _highest(a: Rows, b: Rows, similarity: NDArray[np.floating], images: int) -> NDArray[np.floating]:
    """The highest similarity of each image to a partner, -inf without one, (images,)."""
    highest = np.full(images, -np.inf)
    np.maximum.at(highest, a, similarity)
    np.maximum.at(highest, b, similarity)
    return highest


def chance_precision(labels: NDArray[np.int64]) -> float:
    """Share of all pairs of different images whose labels agree: the precision of pairs drawn at random."""
    counts = np.bincount(labels[labels >= 0]).astype(np.float64)
    total = counts.sum()
    return float((counts * (counts - 1)).sum() / max(total * (total - 1), 1.0))


def _thresholds(similarity: NDArray[np.floating]) -> list[float]:
    if not len(similarity):
        return []
    per_unit = round(1 / BIN_WIDTH)
    highest, lowest = np.floor(similarity.max() * per_unit), np.floor(similarity.min() * per_unit)
    return [float(step / per_unit) for step in np.arange(highest, lowest - 1, -1)]
