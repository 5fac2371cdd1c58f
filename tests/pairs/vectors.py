"""Vectors for tests of the join, the truth about them, and a join of them."""

import numpy as np
import torch

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.band import Band
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.band_join import BandJoin
from miner.pairs.engines.base import Engine
from miner.pairs.engines.sketch import Projection, Sketch
from miner.pairs.tables.found import FoundPairs

KINDS = ("random", "duplicates", "opposite", "cluster", "low rank", "residual", "grid", "scales")


def adversarial(kind: str, count: int, dim: int, dtype: str, seed: int) -> np.ndarray:
    """Vectors that are difficult for engines; each kind is difficult in another way."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, dim))
    if kind == "duplicates":
        vectors = vectors[rng.integers(0, max(count // 3, 1), count)]
    elif kind == "opposite":
        vectors[count // 2 :] = -vectors[: count - count // 2]
    elif kind == "cluster":
        vectors = vectors[:1] + 1e-3 * vectors
    elif kind == "low rank":
        vectors = rng.normal(size=(count, 1)) * vectors[:1] + 0.1 * rng.normal(size=(count, 2)) @ rng.normal(
            size=(2, dim)
        )
    elif kind == "residual":
        vectors = rng.normal(size=(count, 2)) @ rng.normal(size=(2, dim)) + 1e-3 * vectors
    elif kind == "grid":
        vectors = rng.integers(-1, 2, (count, dim)) + np.eye(count, dim) * 1e-9
        vectors[:, 0] += vectors[:, 0] == 0
    elif kind == "scales":
        vectors *= np.float_power(10, rng.integers(-2, 3, (count, 1)))
    vectors = vectors.astype(dtype)
    vectors[~vectors.any(axis=1), 0] = 1  # the engines refuse a vector without a direction
    return vectors


def clustered(count: int, dim: int, seed: int = 0) -> np.ndarray:
    """Unit rows around a few directions of falling energy, as features of images are."""
    rng = np.random.default_rng(seed)
    scale = 1 / (1 + np.arange(dim)) ** 0.7
    centres = rng.normal(size=(20, dim)) * scale
    return unit_rows(centres[rng.integers(0, 20, count)] + 0.7 * rng.normal(size=(count, dim)) * scale)


def brute_force(vectors: np.ndarray) -> np.ndarray:
    """Cosines in float64, each summed on its own; those of equal and opposite vectors are 1 and -1."""
    rows = vectors.astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1))
    scaled = list(zip(rows, lengths, strict=True))
    cosines = np.array([[(x * y).sum() / (lx * ly) for y, ly in scaled] for x, lx in scaled])
    return np.where(1 - np.abs(cosines) <= 2.0**-51, np.round(cosines), cosines)


def band_join(engine: Engine, vectors: np.ndarray, threshold: float, limit: int = 10**6, **settings) -> BandJoin:
    """A join of all pairs at or above a threshold."""
    return BandJoin(lambda: engine, MemoryVectors(vectors), Band(threshold, 1.0), limit, **settings)


def listed(found: FoundPairs | tuple[np.ndarray, np.ndarray]) -> list[tuple[int, int]]:
    """Row numbers of pairs, as a list."""
    a, b = (found.a, found.b) if isinstance(found, FoundPairs) else found
    return list(zip(a.tolist(), b.tolist(), strict=True))


def sketch_of(unit_vectors: torch.Tensor, basis: torch.Tensor | None, dtype: torch.dtype) -> Sketch:
    """The sketch of rows on a basis, or of the rounded rows without one."""
    projection = Projection(basis, dtype)
    block = projection.block(unit_vectors)
    return projection.sketch(block.vectors, [block])


def fan(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane at these angles, so that each cosine is known."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def vectors_with_ties(kind: str, count: int, dim: int, dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, dim))
    if kind == "copies":
        vectors = vectors[rng.integers(0, max(count // 6, 1), count)]
    elif kind == "all equal":
        vectors[:] = vectors[0]
    elif kind == "grid":
        vectors = rng.integers(-1, 2, (count, dim)).astype(float)
    elif kind == "last bits":
        vectors = vectors[:1] * (1 + 1e-7 * rng.integers(-2, 3, (count, dim)))
    vectors = vectors.astype(dtype)
    vectors[~vectors.any(axis=1), 0] = 1
    return vectors
