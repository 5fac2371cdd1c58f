"""A lower bound of the k-th similarity of each row, before all rows have been compared.

Rows are put into cells around a few centres. The others in the five cells nearest to a row are ranked by short sketches, and the
best of them are measured in float32. The k-th best of *some* others is never above the k-th best of *all* others, so the bound
holds however well the cells fit; only the speed of the search depends on it. A row whose list among some rows is known already
needs no cells: its bound is the last similarity in this list.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from miner.artifacts.embeddings.vectors import Rows, blocks
from miner.pairs.arithmetic.k_means import spherical_centres
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.neighbours.candidates import ListRule

_CELL_ROWS = 400  # a cell holds about so many rows, or several lists
_LISTS_PER_CELL = 8
_PROBED_CELLS = 5
SKETCH_DIMS, _CENTRE_DIMS = 255, 128
_NEVER = 2.0  # no cosine reaches it
_ROUNDS = 4
_CHUNK_ROWS = 2048
_MEASURED_ROWS = 512  # that are measured at once: about a cell
# A place in a cell and, before it, the bits of its score in bfloat16: where scores are positive, the order of scores.
_PLACE = (1 << 16) - 1
_MOST_MEMBERS, _NOTHING = 1 << 14, -(1 << 31)

Units = Callable[[Rows], Tensor]
Products = Callable[[Rows, Rows], NDArray[np.float32]]


def row_floors(
    rule: ListRule,
    units: Units,
    products: Products,
    directions: Tensor,
    dtype: torch.dtype,
    threads: Threads,
    estimated: Callable[[NDArray[np.float64]], None] = lambda _: None,
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """A cosine that the k-th most similar other of each row reaches; -inf where nothing is known, `_NEVER` for rows without lists.

    Args:
        rule: what the lists are.
        units: float32 rows of length 1, by their numbers in ascending order, on the device that computes.
        products: float32 products of pairs of such rows, by two arrays of numbers (m,).
        directions: orthonormal ones that hold most of the energy of the rows, float32 (d, p).
        dtype: in which sketches are multiplied.
        threads: that share the work.
        estimated: is told about how high the floors will be, before they are measured if no lists are known.
    Returns:
        the cosines, float64 (n,), and the number of the cell of each row, int32 (n,).
    """
    count, known, listed = len(rule.vectors), rule.known, rule.listed
    old, first = len(known), listed.start
    looking = listed[old:]
    short = _short_rows(count, units, directions, dtype, threads)
    width = rule.k + max(4, rule.k // 2) + 1  # the row itself is among them
    most_cells = len(rule.choices) // max(_CELL_ROWS, _LISTS_PER_CELL * rule.k)
    most_cells = max(1, min(most_cells, _best_cells(len(looking))))
    cells = _Cells(short, most_cells, listed, looking, rule.choices, width, threads)
    keys, others = (
        torch.empty(len(looking), cells.probed, width, dtype=torch.int32, device=short.device) for _ in range(2)
    )

    def probe(cell: int) -> None:
        """Rank the members of a cell for the rows that look into it."""
        members, visits = cells.members(cell)[:_MOST_MEMBERS], cells.visitors(cell)
        for rows, turns in zip(*(torch.split(side, _CHUNK_ROWS) for side in visits), strict=True):
            best = _highest(_keys(short[rows] @ short[members].T), width)
            lists, missing = rows - looking.start, (0, width - best.shape[1])
            keys[lists, turns] = F.pad(best, missing, value=_NOTHING)
            others[lists, turns] = F.pad(members[best & _PLACE].int(), missing, value=-1)

    for _ in threads.map(probe, range(cells.count)):
        pass
    chosen = np.full((len(listed), width), -1, np.int32)
    chosen[:old, : known.shape[1]] = known
    floors = np.full(count, _NEVER)

    def choose(block: tuple[int, int]) -> None:
        """Merge what rows have found in several cells; the floors are estimates until they are measured."""
        low, high = block
        columns = torch.arange(cells.probed * width, dtype=torch.int32, device=short.device)
        best = _highest((keys[low:high].flatten(1) & ~_PLACE) | columns, width)
        found = torch.gather(others[low:high].flatten(1), 1, (best & _PLACE).long())
        chosen[old + low : old + high] = found.cpu().numpy()
        lowest = (_highest(best, rule.k + 1).amin(dim=1) >> 16).to(torch.int16).view(torch.bfloat16)
        floors[looking.start + low : looking.start + high] = lowest.double().cpu().numpy()

    for _ in threads.map(choose, blocks(len(looking), _CHUNK_ROWS)):
        pass
    if not old:
        estimated(floors.copy())

    def measure(rows: Rows) -> None:
        """The k-th score of rows that lie in neighbouring cells, so that they share most of their others."""
        rows = np.sort(rows)
        places, columns = np.nonzero(chosen[rows - first] >= 0)
        found = chosen[rows - first][places, columns].astype(np.int64)
        measured = products(rows[places], found)
        counts = rule.possible(rows[places], found, measured) & rule.certain(measured) | (rows[places] < old)
        kept = np.full((len(rows), width), -np.inf)
        kept[places, columns] = np.where(counts, measured, -np.inf)
        floors[rows] = np.partition(kept, width - rule.k, axis=1)[:, width - rule.k] - rule.margin

    for _ in threads.map(measure, (cells.order[start:stop] for start, stop in blocks(len(listed), _MEASURED_ROWS))):
        pass
    if old:
        estimated(floors)
    return floors, cells.numbers


def _short_rows(count: int, units: Units, directions: Tensor, dtype: torch.dtype, threads: Threads) -> Tensor:
    """Rows along the directions: (n, p) of the dtype."""
    short = torch.empty(count, directions.shape[1], dtype=dtype, device=directions.device)

    def project(block: tuple[int, int]) -> None:
        short[slice(*block)] = (units(np.arange(*block)) @ directions).to(dtype)

    for _ in threads.map(project, blocks(count, _CHUNK_ROWS)):
        pass
    return short


def _keys(scores: Tensor) -> Tensor:
    """Scores (m, c) and their columns as numbers that are in the order of the scores, int32."""
    keys = scores.bfloat16().view(torch.int16).int()
    keys <<= 16
    keys |= torch.arange(scores.shape[1], dtype=torch.int32, device=scores.device)
    return keys


def _highest(keys: Tensor, count: int) -> Tensor:
    """The highest keys of each row (m, at most count), in any order."""
    count = min(count, keys.shape[1])
    if keys.device.type != "cpu" or not count:
        return keys.topk(count, dim=1).values
    # NumPy sorts integers with vector instructions, several times faster than torch.
    return torch.from_numpy(np.partition(keys.numpy(), -count, axis=1)[:, -count:])


def _best_cells(looking: int) -> int:
    """The number of cells for which rows are put into cells, and look into them, in the least products."""
    return math.isqrt(_PROBED_CELLS * SKETCH_DIMS * looking // _CENTRE_DIMS)


class _Cells:
    """Rows by the centres that they are nearest to.

    Attributes:
        count, probed: of the cells, and of those that a row looks into; `probed * width` columns fit `_PLACE`.
        numbers: the cell of each row, int32 (n,).
        order: the listed rows, cell after cell, int64 (m,).
        looking: the rows that look into cells.
    """

    def __init__(
        self, short: Tensor, count: int, listed: range, looking: range, choices: range, width: int, threads: Threads
    ) -> None:
        self.count, self.looking = count, looking
        rows = threads.start(lambda: F.normalize(short[:, :_CENTRE_DIMS].float(), dim=1)).result()
        centres = threads.start(lambda: spherical_centres(rows, count, _ROUNDS)).result()
        self.probed = max(1, min(_PROBED_CELLS, count, _PLACE // width))

        def nearest(part: Tensor) -> Tensor:
            return (part @ centres.T).topk(self.probed, dim=1).indices

        near = torch.cat(list(threads.map(nearest, torch.split(rows, _CHUNK_ROWS))))
        self.numbers = near[:, 0].int().cpu().numpy()
        listed_in, chosen_in, visited = (
            cells[rows.start : rows.stop].flatten()
            for cells, rows in ((near[:, 0], listed), (near[:, 0], choices), (near, looking))
        )
        self.order = listed_in.argsort(stable=True).cpu().numpy() + listed.start
        self._members = _split(chosen_in.argsort(stable=True) + choices.start, chosen_in, count)
        self._visits = _split(visited.argsort(stable=True), visited, count)

    def members(self, cell: int) -> Tensor:
        """The choices in a cell."""
        return self._members[cell]

    def visitors(self, cell: int) -> tuple[Tensor, Tensor]:
        """The rows that look into a cell, and which of their nearest cells it is, from 0."""
        visits = self._visits[cell]
        return visits // self.probed + self.looking.start, visits % self.probed


def _split(items: Tensor, cells: Tensor, count: int) -> Sequence[Tensor]:
    """Items that are sorted by their cell, one tensor for each cell."""
    return torch.split(items, torch.bincount(cells, minlength=count).tolist())
