"""Coverage: the share of the images that are in a pair at or above a similarity. It needs no labels."""

from typing import Any

import numpy as np
import pyarrow as pa

from miner.artifacts.pairs.statistics import BIN_WIDTH


def coverage_points(pairs: pa.Table, images: int) -> list[dict[str, Any]]:
    """Points of the curve of coverage, in steps of `BIN_WIDTH` from the lowest similarity of a pair.

    Args:
        pairs: columns a, b (rows of images) and similarity, at least one pair.
        images: number of images searched.
    Returns:
        {"min", "pairs", "coverage"}: number of pairs at or above min, and share of the images in these pairs.
    """
    similarity = np.asarray(pairs["similarity"].to_numpy(), np.float64)
    ends = np.concatenate([pairs["a"].to_numpy(), pairs["b"].to_numpy()])
    highest = np.full(int(ends.max()) + 1, -np.inf)
    np.maximum.at(highest, ends, np.tile(similarity, 2))
    per_unit = round(1 / BIN_WIDTH)
    steps = np.arange(np.floor(similarity.min() * per_unit), np.floor(similarity.max() * per_unit) + 1) / per_unit
    return [
        {
            "min": round(float(least), 4),
            "pairs": int((similarity >= least).sum()),
            "coverage": float((highest >= least).sum() / images),
        }
        for least in steps
    ]
