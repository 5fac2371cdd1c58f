"""The exact engine: all pairs i < j above a threshold, by tiles on or above the diagonal and a bound that skips most work."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.device import has_native_bf16
from miner.pairs.join import FloodError
from miner.pairs.planning import best_sketch
from miner.pairs.similarity import Rows, float32_margin
from miner.pairs.sketch import Sketch

_TILE_ROWS = 2048
_CHUNK_CANDIDATES = 1024
_LEAST_ROWS_TO_SKETCH = 8192
# From this share of a tile on, its float32 product costs less than its candidates one by one.
_DENSE_SHARE = 1 / 40


class ExactEngine:
    """Proposes every pair whose cosine may reach a threshold, a strip of rows at a time.

    A tile is first multiplied as short low-precision vectors that bound its cosines from above (`miner.pairs.sketch`); what
    survives is measured in float32, which lies within `float32_margin` of the true cosine. Either bound is proven, so no
    pair is lost. Few rows, or a device whose products do not keep to the bound, are multiplied in float32 at once.

    Args:
        units: float32 (n, d), rows of length 1 (`unit_rows`).
        device: where the products run.
        threshold: lowest cosine wanted.
        bound: the sketch to use; chosen by a model of the cost if not given.
    """

    def __init__(
        self, units: NDArray[np.float32], device: torch.device, threshold: float, bound: Sketch | None = None
    ) -> None:
        self.vectors = torch.from_numpy(units).to(device)
        self.threshold = threshold
        self.lowest = threshold - float32_margin(units.shape[1])
        self.bound = bound
        if bound is None and len(units) >= _LEAST_ROWS_TO_SKETCH:
            dtype = torch.bfloat16 if has_native_bf16(device) else torch.float32
            self.bound = best_sketch(self.vectors, threshold, dtype, self._cosines)

    def candidates(self, start: int, stop: int, limit: int) -> tuple[Rows, Rows]:
        """Row numbers a < b with a in [start, stop) of all pairs that may reach the threshold, sorted by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        count = 0
        found: list[Tensor] = []
        for left in range(start, len(self.vectors), _TILE_ROWS):
            tile = self._tile(start, stop, left, min(left + _TILE_ROWS, len(self.vectors)))
            count += len(tile)
            if count > limit:
                raise FloodError
            if len(tile):
                found.append(tile.cpu())
        pairs = torch.cat(found).numpy() if found else np.empty((0, 2), np.int64)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        return pairs[order, 0], pairs[order, 1]

    def _tile(self, start: int, stop: int, left: int, right: int) -> Tensor:
        """Pairs of a tile that may reach the threshold: int64 (m, 2)."""
        if self.bound is None:
            return self._dense(start, stop, left, right)
        scores = self.bound.scores(slice(start, stop), slice(left, right))
        hits = _at_least(scores, self.bound.lowest_score(self.threshold))
        if len(hits) > _DENSE_SHARE * scores.numel():
            return self._dense(start, stop, left, right)
        pairs = _above_diagonal(hits, start, left)
        return pairs[self._cosines(pairs[:, 0], pairs[:, 1]) >= self.lowest]

    def _dense(self, start: int, stop: int, left: int, right: int) -> Tensor:
        scores = self.vectors[start:stop] @ self.vectors[left:right].T
        return _above_diagonal(_at_least(scores, self.lowest), start, left)

    def _cosines(self, a: Tensor, b: Tensor) -> Tensor:
        """Float32 products of row pairs, float32 (m,)."""
        parts = [
            (self.vectors[a[part : part + _CHUNK_CANDIDATES]] * self.vectors[b[part : part + _CHUNK_CANDIDATES]]).sum(
                dim=1
            )
            for part in range(0, len(a), _CHUNK_CANDIDATES)
        ]
        return torch.cat(parts) if parts else self.vectors.new_empty(0)


def _at_least(scores: Tensor, lowest: float) -> Tensor:
    """Places of a tile at or above a value: int64 (m, 2). Rows without one are left out first, which most are."""
    rows = (scores.amax(dim=1) >= lowest).nonzero().squeeze(1)
    hits = (scores[rows] >= lowest).nonzero()
    hits[:, 0] = rows[hits[:, 0]]
    return hits


def _above_diagonal(hits: Tensor, start: int, left: int) -> Tensor:
    """Row numbers of places in a tile, those with a < b."""
    pairs = hits + hits.new_tensor([start, left])
    return pairs[pairs[:, 1] > pairs[:, 0]]
