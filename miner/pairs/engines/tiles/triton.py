"""Tiles by Triton kernels: scores never leave the registers of the GPU."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from triton import cdiv, knobs

from miner.pairs.engines.tiles.base import Block, TooManyPairsError, upper_part
from miner.pairs.engines.tiles.triton_kernels import mark_pairs, multiply_pairs, write_marked_pairs

_ENTRIES = 32
_PAIRS, _PAIR_DEPTH = 16, 128


@dataclass(frozen=True)
class TileShape:
    """The shape of the tile of one GPU program; changes the speed only.

    Attributes:
        rows, columns: the sides of a tile; powers of two. columns is 32 to 128, because one byte counts the pairs of a row.
        depth: dimensions that are loaded at a time, a power of two of 16 or more.
        warps, stages: Triton's `num_warps` and `num_stages`.
    """

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


# These shapes spill no register on compute capability 8.0 to 12.0, and fit in the shared memory that all have (99 KiB).
HALF_PRECISION = TileShape(rows=128, columns=128, depth=64, warps=8, stages=3)
FULL_PRECISION = TileShape(rows=64, columns=64, depth=32, warps=4, stages=2)


@dataclass(frozen=True)
class TritonTiles:
    """See `Tiles`. The interpreter of Triton (TRITON_INTERPRET=1) takes tensors on the CPU.

    Attributes:
        shape: the shape of the tiles; by the type of the vectors if not given.
        marks_bytes: device memory for marks, one bit per score; one launch multiplies as many rows as fit.
    """

    shape: TileShape | None = None
    marks_bytes: int = 1 << 30

    def above(self, left: Block, right: Block, lowest: float | None, most: int | None = None) -> Tensor:
        """See `Tiles.above`. A width that is a multiple of 64 is fastest; a multiple of 16 still loads in whole words."""
        left, right = upper_part(left, right)
        shape = self.shape or (FULL_PRECISION if left.vectors.dtype == torch.float32 else HALF_PRECISION)
        tiles = cdiv(len(right.vectors), shape.columns)
        bytes_per_row = tiles * (shape.columns // 8 + 1)
        rows = max(self.marks_bytes // max(bytes_per_row, 1) // shape.rows, 1) * shape.rows
        found = [left.vectors.new_empty((0, 2), dtype=torch.int64)]
        count = 0
        for start in range(left.start, left.stop, rows):
            part = left.rows(start, start + rows)
            pairs = _pairs(*upper_part(part, right), lowest, shape, most, count)
            count += len(pairs)
            found.append(pairs)
        return torch.cat(found)

    def measure(self, pairs: Tensor, left: Block, right: Block) -> Tensor:
        """See `Tiles.measure`."""
        x, y, pairs = left.vectors, right.vectors, pairs.contiguous()
        products = torch.empty(len(pairs), dtype=torch.float64, device=pairs.device)
        if len(pairs):
            with _current(pairs.device):
                multiply_pairs[(cdiv(len(pairs), _PAIRS),)](
                    x,
                    y,
                    pairs,
                    products,
                    len(pairs),
                    x.shape[1],
                    x.stride(0),
                    y.stride(0),
                    left.start,
                    right.start,
                    block_pairs=_PAIRS,
                    block_depth=_PAIR_DEPTH,
                )
        return products


def _pairs(left: Block, right: Block, lowest: float | None, shape: TileShape, most: int | None, seen: int) -> Tensor:
    """All pairs of two blocks whose marks fit into memory: int64 (m, 2), sorted."""
    x, y = left.vectors, right.vectors
    tiles = cdiv(len(y), shape.columns)
    counts = torch.zeros((tiles, len(x)), dtype=torch.uint8, device=x.device)
    words = torch.empty((tiles, len(x), shape.columns // 32), dtype=torch.int32, device=x.device)
    with _current(x.device):
        mark_pairs[(tiles * cdiv(len(x), shape.rows),)](
            x,
            y,
            counts,
            words,
            len(x),
            len(y),
            x.shape[1],
            x.stride(0),
            y.stride(0),
            left.start - right.start,
            0.0 if lowest is None else lowest,
            x if left.floors is None else left.floors,
            y if right.floors is None else right.floors,
            block_rows=shape.rows,
            block_columns=shape.columns,
            block_depth=shape.depth,
            even_depth=x.shape[1] % shape.depth == 0,
            by_row=lowest is None,
            # The interpreter multiplies bfloat16 as integers; products of the widened numbers are the same.
            widen=bool(knobs.runtime.interpret) and x.dtype == torch.bfloat16,
            num_warps=shape.warps,
            num_stages=shape.stages,
        )
        entries = counts.T.nonzero().contiguous()  # PyTorch gives it by columns
        ends = counts[entries[:, 1], entries[:, 0]].cumsum(0, dtype=torch.int64)
        total = int(ends[-1]) if len(ends) else 0
        if most is not None and seen + total > most:
            raise TooManyPairsError(seen + total)
        pairs = torch.empty((total, 2), dtype=torch.int64, device=x.device)
        if total:
            offsets = torch.cat([ends.new_zeros(1), ends[:-1]])
            write_marked_pairs[(cdiv(len(entries), _ENTRIES),)](
                words,
                entries,
                offsets,
                pairs,
                len(entries),
                len(x),
                left.start,
                right.start,
                block_columns=shape.columns,
                block_entries=_ENTRIES,
            )
    return pairs


def _current(device: torch.device) -> AbstractContextManager[object]:
    """Triton launches on the current device, which need not be that of the tensors."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
