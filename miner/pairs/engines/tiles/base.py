"""What an engine asks of a device: the large products of two blocks of vectors.

The product of two blocks is a tile of scores, far too many to keep. `Tiles.above` gives the row numbers of the large scores only;
`Tiles.measure` multiplies chosen rows again, in float64. Scores are summed in float32 in any order.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from miner.text import counted


class TooManyPairsError(Exception):
    """There are more pairs than the caller can take; `count` of them were found by then."""

    def __init__(self, count: int) -> None:
        super().__init__(f"at least {counted(count, 'pair')}")
        self.count = count


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a matrix that may be too large for the device.

    Attributes:
        vectors: float32, bfloat16 or float16 (m, p), the rows contiguous.
        start: number of the first of them in the matrix.
        floors: for each row, the product from which on its pairs matter, float32 (m,); None where one value holds for all.
    """

    vectors: Tensor
    start: int = 0
    floors: Tensor | None = None

    @property
    def stop(self) -> int:
        return self.start + len(self.vectors)

    def rows(self, start: int, stop: int) -> "Block":
        """The rows of this block with numbers in [start, stop), without a copy; empty if there are none."""
        start = min(max(start, self.start), self.stop)
        stop = min(max(stop, start), self.stop)
        inside = slice(start - self.start, stop - self.start)
        return Block(self.vectors[inside], start, None if self.floors is None else self.floors[inside])


class Tiles(Protocol):
    """Products of two blocks on one device."""

    def above(self, left: Block, right: Block, lowest: float | None, most: int | None = None) -> Tensor:
        """Row numbers of all pairs a < b, a of the left block and b of the right block, whose product reaches a value.

        Without a value, a product must reach the lower one of the two floors of its rows.

        No pair whose float32 product reaches the value is missing. If a device rounds its products to the type of the vectors,
        pairs that reach the value by that rounding only are there too.

        Args:
            left, right: blocks of the same width, type and device. They may be the same rows, overlap, or be far apart.
            most: pairs that the caller can take; any number if not given.
        Returns:
            int64 (m, 2) on the device of the blocks, sorted by (a, b).
        Raises:
            TooManyPairsError: there are more.
        """
        ...

    def measure(self, pairs: Tensor, left: Block, right: Block) -> Tensor:
        """Products of chosen rows in float64.

        For float16 vectors of length near 1 every order of summation gives the exact sum (see `rescore`), so every device gives
        the same bits. For other vectors the last bits may differ.

        Args:
            pairs: int64 (m, 2), a in the left block, b in the right block.
            left, right: blocks of the same width and device.
        Returns:
            float64 (m,).
        """
        ...


def upper_part(left: Block, right: Block) -> tuple[Block, Block]:
    """The blocks without the rows that have no partner with a < b in the other block."""
    left = left.rows(left.start, right.stop - 1)
    return left, right.rows(left.start + 1, right.stop)


def holds(tiles: Tiles, vectors: Tensor, error: float, rows: int = 256, tries: int = 16) -> bool:
    """Whether this device finds the right pairs and no others, checked in float64 on the first rows.

    Args:
        vectors: (n, p).
        error: most distance of a product from the exact product.
        tries: number of values to check, spread over all products of these rows.
    """
    sample = Block(vectors[:rows])
    exact = (sample.vectors.double() @ sample.vectors.double().T).cpu()
    a, b = torch.triu_indices(len(exact), len(exact), 1)
    ordered = exact[a, b].sort().values
    if not len(ordered):
        return True
    # After the float32 sum, a score may be rounded once to the type of the vectors.
    rounding = 0.0 if vectors.dtype == torch.float32 else torch.finfo(vectors.dtype).eps
    for lowest in ordered[torch.linspace(0, len(ordered) - 1, tries).long()].tolist():
        found = torch.zeros(exact.shape, dtype=torch.bool)
        pairs = tiles.above(sample, sample, lowest).cpu()
        found[pairs[:, 0], pairs[:, 1]] = True
        must, may = exact >= lowest + error, exact >= lowest - error - rounding * (abs(lowest) + error)
        if bool((must & ~found).triu(1).any()) or bool((found & ~may).any()):
            return False
    return True
