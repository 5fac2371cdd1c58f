"""How much of the vectors each pass should look at: a model of their cost and of the candidates that they leave.

A short sketch multiplies fast and leaves many candidates, a long one the other way round; the best lengths depend on the data,
the band and the machine. All of it is measured on a sample of rows. The choice changes the speed, never the pairs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from miner.pairs.engines.sketch import Projection, Sketch, principal_directions

SHORTEST = 32  # numbers per row of the shortest sketch
_SHORT = (SHORTEST - 1, 63, 127, 191, 255)
_LONGER = (383, 511, 767)
_TRIAL_ROWS = 1024
_TILE_ROWS = 2048
_REPEATS = 2


@dataclass(frozen=True)
class Cascade:
    """The passes that a pair goes through before its float32 product.

    Attributes:
        first: of whole tiles, in low precision.
        second: of what the first pass leaves, longer and in float32; None where it would not pay.
    """

    first: Projection
    second: Projection | None = None

    def row_bytes(self, dim: int) -> int:
        """What the sketches of one row take."""
        passes = [self.first] if self.second is None else [self.first, self.second]
        return sum(projection.width(dim) * projection.dtype.itemsize for projection in passes)


@dataclass(frozen=True)
class Costs:
    """Seconds on one thread, measured.

    Attributes:
        place: to measure one candidate, whatever its length.
        place_dim: to measure one dimension of a candidate.
        row_dim: to project one row on one direction.
    """

    place: float
    place_dim: float
    row_dim: float


@dataclass(frozen=True)
class _Trial:
    """What one length of sketch did on the sample: seconds for a whole tile, and the share of its pairs that it left."""

    projection: Projection
    width: int
    tile_s: float
    share: float


def best_cascade(
    units: Tensor,
    images: int,
    threshold: float,
    dtype: torch.dtype,
    costs: Costs,
    hits: Callable[[Sketch, float], int],
    row_bytes: float = float("inf"),
) -> Cascade | None:
    """The passes that promise the least time, or None where no sketch can be made, or none that holds its bound.

    Args:
        units: float32 (m, d), a random sample of rows, of length 1.
        images: how many rows the join has.
        threshold: lowest cosine.
        dtype: of the first pass.
        costs: of this machine.
        hits: multiplies a sketch with itself as the engine does and counts the places at or above a score; timed here.
        row_bytes: what the sketches of one row may take.
    """
    dim = units.shape[1]
    trials: list[_Trial] = []
    longer: list[int | None] = [*(width for width in _LONGER if width < dim), None]
    for widths in ([width for width in _SHORT if width < dim], longer):
        try:
            fresh = _trials(units, widths, threshold, dtype, hits, row_bytes)
        except RuntimeError:  # the directions cannot be found
            return None
        if fresh is None:
            return None
        trials += fresh
        if fresh and fresh[-1] is not min(trials, key=lambda trial: _seconds(trial, None, images, dim, costs)):
            break  # the cost falls with the length and then rises
    plans: list[tuple[float, _Trial, _Trial | None]] = [
        (_seconds(first, None, images, dim, costs), first, None) for first in trials
    ]
    for first in trials:
        for second in trials:
            if second.width > 1.4 * first.width and second.projection.basis is not None:
                plans.append((_seconds(first, second, images, dim, costs), first, second))
    cascades = [
        (
            seconds,
            Cascade(first.projection, None if second is None else Projection(second.projection.basis, torch.float32)),
        )
        for seconds, first, second in plans
    ]
    fitting = [(seconds, cascade) for seconds, cascade in cascades if cascade.row_bytes(dim) <= row_bytes]
    return min(fitting, key=lambda plan: plan[0])[1] if fitting else None


def _trials(
    units: Tensor,
    widths: Sequence[int | None],
    threshold: float,
    dtype: torch.dtype,
    hits: Callable[[Sketch, float], int],
    row_bytes: float,
) -> list[_Trial] | None:
    """What sketches of these lengths (None: of the rows themselves) do, as far as memory allows them.

    Returns:
        None where one does not hold its bound.
    """
    sample, dim = units[:_TRIAL_ROWS], units.shape[1]
    directions = principal_directions(units, max((width for width in widths if width), default=1))
    projected = sample @ directions
    trials = []
    for width in widths:
        projection = Projection(None if width is None else directions[:, :width].contiguous(), dtype)
        if Cascade(projection).row_bytes(dim) > row_bytes:
            break
        block = projection.block(sample, None if width is None else projected[:, :width])
        sketched = projection.sketch(block.vectors, [block])
        if not sketched.holds():
            return None
        trials.append(_try(projection, sketched, threshold, hits, width or dim))
    return trials


def _try(
    projection: Projection, sketched: Sketch, threshold: float, hits: Callable[[Sketch, float], int], width: int
) -> _Trial:
    lowest = sketched.lowest_score(threshold)
    rows = len(sketched.vectors)
    seconds = []
    for _ in range(_REPEATS):
        started = time.thread_time()
        found = hits(sketched, lowest)
        seconds.append(time.thread_time() - started)
    share = max(found - rows, 0) / (rows * (rows - 1))  # without the rows themselves
    return _Trial(projection, width, min(seconds) * (_TILE_ROWS / rows) ** 2, share)


def _seconds(first: _Trial, second: _Trial | None, images: int, dim: int, costs: Costs) -> float:
    """What the model expects of a whole join."""
    pairs = images**2 / 2
    whole = costs.place + costs.place_dim * dim
    tiles = _tiles(images) * first.tile_s + images * first.width * costs.row_dim
    if second is None:
        return tiles + pairs * first.share * whole
    middle = costs.place + costs.place_dim * second.width
    return tiles + images * second.width * costs.row_dim + pairs * (first.share * middle + second.share * whole)


def _tiles(images: int) -> float:
    return images**2 / 2 / _TILE_ROWS**2
