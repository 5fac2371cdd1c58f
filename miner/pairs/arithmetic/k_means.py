"""Spherical k-means: centres that unit rows lie around."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.arithmetic.threads import Threads

_ROWS_PER_CENTRE = 64
_MOST_ROWS = 1 << 14  # of a sample, for the memory
_ROUNDS = 10
_BLOCK_ROWS = 2048


def spherical_centres(rows: Tensor, count: int, rounds: int, seed: int = 0) -> Tensor:
    """Centres of unit rows, of a random sample of them if there are many; a centre that nobody is nearest to stays where it was.

    Args:
        rows: unit rows, float32 (n, d), n >= count.
        rounds: of Lloyd's algorithm, from random rows on.
    Returns:
        unit rows, float32 (count, d).
    """
    draw = torch.Generator().manual_seed(seed)
    centres = rows[torch.randperm(len(rows), generator=draw)[:count]]
    sample = rows[torch.randperm(len(rows), generator=draw)[: count * _ROWS_PER_CENTRE]]
    for _ in range(rounds):
        nearest = (sample @ centres.T).argmax(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, sample)
        used = torch.bincount(nearest, minlength=count) > 0
        centres = torch.where(used[:, None], F.normalize(sums, dim=1), centres)
    return centres


def cluster_numbers(vectors: Vectors, count: int, seed: int) -> Rows:
    """The cluster of each row, of `count` clusters around centres of a seeded sample, int64 (n,)."""
    threads = Threads()
    chosen = np.random.default_rng(seed).permutation(len(vectors))[: min(count * _ROWS_PER_CENTRE, _MOST_ROWS)]
    sample = torch.from_numpy(unit_rows(vectors.take(np.sort(chosen))))
    # On one thread, so that sums do not depend on the number of threads.
    centres = threads.start(lambda: spherical_centres(sample, count, _ROUNDS, seed)).result()

    def nearest(block: tuple[int, int]) -> Rows:
        rows = torch.from_numpy(unit_rows(vectors.read(*block)))
        return np.asarray((rows @ centres.T).argmax(dim=1).numpy(), np.int64)

    return np.concatenate(list(threads.map(nearest, blocks(len(vectors), _BLOCK_ROWS))))
