"""Tiles by the matrix product of PyTorch, which every device has; and the choice of Triton where it is faster."""

import importlib.util
from dataclasses import dataclass

import torch
from torch import Tensor

from miner.pairs.engines.tiles.base import Block, Tiles, TooManyPairsError, upper_part

_CHUNK_NUMBERS = 1 << 22
_FIRST_TENSOR_CORES_WITH_BF16 = (8, 0)


@dataclass(frozen=True)
class TorchTiles:
    """See `Tiles`. Each score goes through memory.

    Attributes:
        tile_rows, tile_columns: size of a tile; changes the speed only.
    """

    tile_rows: int = 2048
    tile_columns: int = 8192

    def above(self, left: Block, right: Block, lowest: float | None, most: int | None = None) -> Tensor:
        """See `Tiles.above`."""
        left, right = upper_part(left, right)
        count = 0
        found = [left.vectors.new_empty((0, 2), dtype=torch.int64)]
        for top in range(left.start, left.stop, self.tile_rows):
            rows = left.rows(top, top + self.tile_rows)
            for side in range(max(right.start, top + 1), right.stop, self.tile_columns):
                tile = _tile(rows, right.rows(side, side + self.tile_columns), lowest)
                count += len(tile)
                if most is not None and count > most:
                    raise TooManyPairsError(count)
                found.append(tile)
        pairs = torch.cat(found)
        return pairs[(((pairs[:, 0] - left.start) << 32) + pairs[:, 1] - right.start).argsort()]

    def measure(self, pairs: Tensor, left: Block, right: Block) -> Tensor:
        """See `Tiles.measure`."""
        chunk = max(1, _CHUNK_NUMBERS // max(1, left.vectors.shape[1]))
        products = [left.vectors.new_empty(0, dtype=torch.float64)]
        for start in range(0, len(pairs), chunk):
            a, b = pairs[start : start + chunk].unbind(1)
            products.append(
                (left.vectors[a - left.start].double() * right.vectors[b - right.start].double()).sum(dim=1)
            )
        return torch.cat(products)


def _tile(left: Block, right: Block, lowest: float | None) -> Tensor:
    """Pairs a < b of one tile whose score reaches a value, or the lower floor of its rows: int64 (m, 2)."""
    scores = _products(left.vectors, right.vectors)
    # Rounding keeps the order of numbers: a score that reaches the value before it is rounded reaches the rounded value.
    if lowest is None:
        assert left.floors is not None and right.floors is not None
        scores -= torch.minimum(left.floors[:, None], right.floors).to(scores.dtype)
        lowest = 0.0
    bound = float(torch.tensor(lowest, dtype=torch.float64).to(scores.dtype))
    rows = (scores.amax(dim=1) >= bound).nonzero().squeeze(1)  # most rows have no pair
    found = (scores[rows] >= bound).nonzero()
    pairs = torch.stack([rows[found[:, 0]] + left.start, found[:, 1] + right.start], dim=1)
    return pairs[pairs[:, 1] > pairs[:, 0]]


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Scores (m, n): float32 on a CUDA device, which may otherwise sum in the short type; elsewhere of the type of the vectors."""
    if left.device.type == "cuda" and left.dtype != torch.float32:
        return torch.mm(left, right.T, out_dtype=torch.float32)
    return torch.mm(left, right.T)


def tiles_for(device: torch.device) -> Tiles:
    """The fastest implementation on this device: Triton on NVIDIA GPUs since Ampere, else PyTorch."""
    if _has_triton(device):
        from miner.pairs.engines.tiles.triton import TritonTiles

        return TritonTiles()
    return TorchTiles()


def _has_triton(device: torch.device) -> bool:
    if device.type != "cuda" or torch.version.cuda is None or importlib.util.find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= _FIRST_TENSOR_CORES_WITH_BF16
