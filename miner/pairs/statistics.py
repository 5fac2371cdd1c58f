"""What the pairs look like: counts, degrees, and, where labels exist, precision and coverage."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.pairs.similarity import Rows

BIN_WIDTH = 0.01


def pair_statistics(a: Rows, b: Rows, images: int) -> dict[str, Any]:
    """Counts of pairs and images, kept apart because one image can be in many pairs."""
    degree = np.bincount(np.concatenate([a, b]), minlength=1)
    degree = degree[degree > 0]
    return {
        "pairs": len(a),
        "images_in_pairs": len(degree),
        "image_coverage": len(degree) / images,
        "degree": {
            "mean": float(degree.mean()) if len(degree) else 0.0,
            "median": float(np.median(degree)) if len(degree) else 0.0,
            "max": int(degree.max(initial=0)),
        },
    }


def label_statistics(
    a: Rows, b: Rows, similarity: NDArray[np.floating], labels: NDArray[np.int64] | None
) -> dict[str, Any] | None:
    """Share of pairs whose labels agree, overall and at or above each threshold; None without labels.

    Pairs with an unknown label (-1) are left out. Labels are only ever reported: no pair is chosen by them.
    """
    if labels is None:
        return None
    known = (labels[a] >= 0) & (labels[b] >= 0)
    same = labels[a[known]] == labels[b[known]]
    order = np.argsort(-similarity[known], kind="stable")
    same, sorted_similarity = same[order], similarity[known][order]
    right = np.cumsum(same)
    curve = []
    for threshold in _thresholds(sorted_similarity):
        count = int(np.searchsorted(-sorted_similarity, -threshold, side="right"))
        if count:
            curve.append({"min": round(threshold, 4), "pairs": count, "precision": float(right[count - 1] / count)})
    return {
        "pairs_with_labels": int(known.sum()),
        "precision": float(same.mean()) if len(same) else None,
        "chance": chance_precision(labels),
        "by_threshold": curve,
    }


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
