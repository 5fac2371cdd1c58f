"""How long the sketches of each pass should be: a model of the cost of a join and of the candidates that a sketch leaves.

A short sketch multiplies fast and leaves many candidates; a long sketch is slow and leaves few. The best lengths depend on the
data, the band and the machine, so all of it is measured on a sample of rows. The choice changes the speed, never the pairs.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.pairs.engines.byte_sketch import byte_projection, multiplies_bytes
from miner.pairs.engines.sketch import PrincipalDirections, Projection, Sketch, levelled

SHORTEST = 32  # numbers per row of the shortest sketch
# Tried in turn, as long as longer ones may pay: the directions of each step take as long to find as some tiles to multiply.
_STEPS = ((SHORTEST - 1, 63, 95, 127), (159, 191, 255), (383,), (511, 639, 767))
LONGEST = _STEPS[-1][-1]
# A tile with a larger share of candidates is multiplied in float32: so many candidates take as much memory as the product.
DENSE_SHARE = 1 / 16
_LEAST_GROWTH = 1.4  # of the second sketch over the first
_GROWTHS = (1.25, 1.5, 2.0)  # of the sketches that the next step may bring
_WORTH_TRYING = 0.9
_TRIAL_ROWS = 1024
_REPEATS = 2


@dataclass(frozen=True)
class Cascade:
    """The passes that a pair goes through before its float32 product.

    Attributes:
        first: sketches of whole tiles, in low precision.
        second: longer sketches, in float32, of the candidates that the first pass leaves; None where they would not pay.
    """

    first: Projection
    second: Projection | None = None

    def row_bytes(self, dim: int) -> int:
        """Bytes of the sketches of one row."""
        passes = [self.first] if self.second is None else [self.first, self.second]
        return sum(projection.row_bytes(dim) for projection in passes)


@dataclass(frozen=True)
class Costs:
    """Measured seconds on one thread.

    Attributes:
        candidate_s: to measure one candidate, whatever its length.
        candidate_dim_s: to measure one dimension of a candidate.
        row_dim_s: to project one row on one direction.
    """

    candidate_s: float
    candidate_dim_s: float
    row_dim_s: float


@dataclass(frozen=True)
class _Trial:
    """Sketches of one length on the sample: the seconds per score of a tile, and the share of pairs that are candidates."""

    projection: Projection
    width: int
    score_s: float
    share: float


def best_cascade(
    unit_vectors: Tensor,
    images: int,
    floor: NDArray[np.float64],
    dtype: torch.dtype,
    costs: Costs,
    count_candidates: Callable[[Sketch, NDArray[np.float64]], int],
    row_bytes: float = float("inf"),
    directions: PrincipalDirections | None = None,
    pairs: float | None = None,
) -> Cascade | None:
    """The passes that promise the least time, or None where no sketch can be made, or none that holds its bound.

    Args:
        unit_vectors: float32 (m, d), a random sample of rows, of length 1.
        images: rows of the join.
        floor: lowest cosine of a pair, float64 (1,), or (m,) by row: a pair is wanted if it reaches the floor of either row.
        dtype: the type of the first pass; beside float32, whole numbers of 8 bits are tried (`byte_sketch.py`).
        costs: the costs of this machine.
        count_candidates: multiplies a sketch with itself as the engine does, and counts the candidates. It is timed here.
        row_bytes: most bytes for the sketches of one row.
        directions: of the sample, if they are known already.
        pairs: how many pairs of rows are searched; by default all.
    """
    pairs = images**2 / 2 if pairs is None else pairs
    directions = directions or PrincipalDirections(unit_vectors)
    dim = unit_vectors.shape[1]
    trials: list[_Trial] = []
    steps: list[list[int | None]] = [[width for width in widths if width < dim] for widths in _STEPS]
    for kind in (dtype, torch.uint8) if dtype == torch.float32 and multiplies_bytes() else (dtype,):
        tried: list[_Trial] = []
        whole: list[list[int | None]] = [] if kind == torch.uint8 else [[None]]
        for widths in steps + whole:
            try:
                fresh = _trials(unit_vectors, directions, widths, floor, kind, count_candidates, row_bytes)
            except RuntimeError:  # the decomposition did not converge
                return None
            if fresh is None:
                return None
            tried += fresh
            if fresh and not _longer_may_pay(
                tried, lambda trial: _join_seconds(trial, None, images, dim, costs, pairs)
            ):
                break
        trials += tried
    plans: list[tuple[float, Cascade]] = []
    for first in trials:
        plans.append((_join_seconds(first, None, images, dim, costs, pairs), Cascade(first.projection)))
        for second in trials:
            basis = None if second.projection.dtype == torch.uint8 else second.projection.basis
            if second.width > _LEAST_GROWTH * first.width and basis is not None:
                cascade = Cascade(first.projection, Projection(basis, torch.float32))
                plans.append((_join_seconds(first, second, images, dim, costs, pairs), cascade))
    fitting = [(seconds, cascade) for seconds, cascade in plans if cascade.row_bytes(dim) <= row_bytes]
    return min(fitting, key=lambda plan: plan[0])[1] if fitting else None


def _trials(
    unit_vectors: Tensor,
    directions: PrincipalDirections,
    widths: Sequence[int | None],
    floor: NDArray[np.float64],
    dtype: torch.dtype,
    count_candidates: Callable[[Sketch, NDArray[np.float64]], int],
    row_bytes: float,
) -> list[_Trial] | None:
    """Trials of sketches of these lengths, as far as memory allows them; a length of None stands for the rows themselves.

    Returns:
        None where a sketch does not hold its bound.
    """
    sample, dim = unit_vectors[:_TRIAL_ROWS], unit_vectors.shape[1]
    basis = directions.first(max((width for width in widths if width), default=1))
    trials = []
    for width in widths:
        if dtype == torch.uint8:
            projection: Projection = byte_projection(unit_vectors, basis[:, :width])
        else:
            projection = Projection(None if width is None else levelled(basis[:, :width]), dtype)
        if Cascade(projection).row_bytes(dim) > row_bytes:
            break
        block = projection.block(sample)
        sketched = projection.sketch(block.vectors, [block])
        if not sketched.holds():
            return None
        trials.append(_try(projection, sketched, floor, count_candidates, width or dim))
    return trials


def _try(
    projection: Projection,
    sketched: Sketch,
    floor: NDArray[np.float64],
    count_candidates: Callable[[Sketch, NDArray[np.float64]], int],
    width: int,
) -> _Trial:
    rows = len(sketched.vectors)
    seconds = []
    for _ in range(_REPEATS):
        started = time.thread_time()
        found = count_candidates(sketched, floor)
        seconds.append(time.thread_time() - started)
    share = max(found - rows, 0) / (rows * (rows - 1))  # without the pairs of a row with itself
    return _Trial(projection, width, min(seconds) / rows**2, share)


def _longer_may_pay(tried: Sequence[_Trial], seconds: Callable[[_Trial], float]) -> bool:
    """Whether a sketch longer than all those tried may save a tenth of the time or more; to try it takes time, too.

    The share of candidates is expected to go on falling by the same power of the length.
    """
    *shorter, last = tried
    if last.share > DENSE_SHARE or not shorter:
        return True
    if not last.share or seconds(last) > min(map(seconds, shorter)):
        return False
    half = min(shorter, key=lambda trial: abs(2 * trial.width - last.width))
    power = math.log(last.share / half.share) / math.log(last.width / half.width)
    longer = (
        replace(last, width=round(growth * last.width), score_s=growth * last.score_s, share=last.share * growth**power)
        for growth in _GROWTHS
    )
    return min(map(seconds, longer)) < _WORTH_TRYING * seconds(last)


def _join_seconds(first: _Trial, second: _Trial | None, images: int, dim: int, costs: Costs, pairs: float) -> float:
    """The seconds that the model expects of a whole join."""
    whole = costs.candidate_s + costs.candidate_dim_s * dim
    tiles = pairs * first.score_s + images * first.width * costs.row_dim_s
    if first.share > DENSE_SHARE:  # a product in float32 takes as long as the projection on a direction
        return tiles + pairs * costs.row_dim_s
    if second is None:
        return tiles + pairs * first.share * whole
    middle = costs.candidate_s + costs.candidate_dim_s * second.width
    return tiles + images * second.width * costs.row_dim_s + pairs * (first.share * middle + second.share * whole)
