"""The exact engine: all pairs i < j above a threshold, by square tiles on or above the diagonal."""

import numpy as np
import torch
from numpy.typing import NDArray

from miner.pairs.join import FloodError
from miner.pairs.similarity import Rows, float32_margin

_TILE_ROWS = 2048


class ExactEngine:
    """Proposes every pair whose cosine may reach a threshold, a strip of rows at a time.

    No pair is lost: the float32 product of a tile lies within `float32_margin` of the true cosine, and that margin is
    taken off the threshold. Only tiles whose columns reach beyond the first row of the strip are computed.

    Args:
        units: float32 (n, d), rows of length 1 (`unit_rows`).
        device: where the products run.
    """

    def __init__(self, units: NDArray[np.float32], device: torch.device) -> None:
        self.vectors = torch.from_numpy(units).to(device)
        self.margin = float32_margin(units.shape[1])

    def candidates(self, start: int, stop: int, threshold: float, limit: int) -> tuple[Rows, Rows]:
        """Row numbers a < b with a in [start, stop) of all pairs that may have cosine >= threshold, sorted by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        count = 0
        lowest = threshold - self.margin
        found: list[torch.Tensor] = []
        rows = self.vectors[start:stop]
        for left in range(start, len(self.vectors), _TILE_ROWS):
            right = min(left + _TILE_ROWS, len(self.vectors))
            scores = rows @ self.vectors[left:right].T
            if left < stop:
                scores = scores.masked_fill_(_not_above_diagonal(start, stop, left, right, scores.device), -2.0)
            if scores.max() >= lowest:
                hits = (scores >= lowest).nonzero()
                count += len(hits)
                if count > limit:
                    raise FloodError
                found.append((hits + hits.new_tensor([start, left])).cpu())
        pairs = torch.cat(found).numpy() if found else np.empty((0, 2), np.int64)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        return pairs[order, 0], pairs[order, 1]


def _not_above_diagonal(start: int, stop: int, left: int, right: int, device: torch.device) -> torch.Tensor:
    """bool (stop - start, right - left): True where the column is not above the row number."""
    rows = torch.arange(start, stop, device=device)[:, None]
    return torch.arange(left, right, device=device)[None, :] <= rows
