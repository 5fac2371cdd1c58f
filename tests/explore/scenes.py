"""Vectors in groups, with near-duplicates and equal files, so that every rule and every ceiling has something to decide."""

import numpy as np

IMAGES = 60
HASHES = [f"{row - (row == 7):064x}" for row in range(IMAGES)]  # images 6 and 7 are equal files


def vectors() -> np.ndarray:
    """Unit rows, float32 (IMAGES, 8)."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(6, 8))[np.arange(IMAGES) % 6] + 0.6 * rng.normal(size=(IMAGES, 8))
    rows[7] = rows[6]
    rows[12] = rows[18] + 0.01 * rng.normal(size=8)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
