"""How much of the vectors the first pass should look at: a model of its cost and of the candidates that it leaves.

A short sketch multiplies fast and leaves many candidates, a long one the other way round; the best length depends on the data, the
band and the machine. All of it is measured on a sample of rows. The choice changes the speed, never the pairs.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from miner.pairs.sketch import Sketch, principal_directions, sketch

_SAMPLE_ROWS = 2048
_BASIS_ROWS = 8192
_WIDTHS = (31, 63, 127, 191, 255, 383, 511, 767, 1023)
_TIMED_CANDIDATES = 4096


def best_sketch(
    units: Tensor, threshold: float, dtype: torch.dtype, measure: Callable[[Tensor, Tensor], Tensor]
) -> Sketch | None:
    """The sketch that promises the least time, or None where none can be made or holds its bound.

    Args:
        units: float32 (n, d), rows of length 1.
        threshold: lowest cosine.
        dtype: of the sketch.
        measure: cosines of row pairs (a, b), as the engine measures candidates; timed here.
    """
    images, dim = units.shape
    order = torch.randperm(images, generator=torch.Generator().manual_seed(0))
    try:
        directions = principal_directions(units[order[:_BASIS_ROWS].to(units.device)])
    except RuntimeError:  # the decomposition did not converge
        return None
    if not bool(torch.isfinite(directions).all()):
        return None
    sample = units[order[:_SAMPLE_ROWS].to(units.device)]
    candidate_s = _seconds_per_candidate(images, measure)
    costs: list[tuple[float, int | None]] = []
    for width in [*(width for width in _WIDTHS if width < dim), None]:
        trial = sketch(sample, None if width is None else directions[:, :width], dtype)
        if not trial.holds():
            return None
        tile_s, share = _try(trial, threshold)
        tiles = images**2 / 2 / len(sample) ** 2
        costs.append((tiles * tile_s + share * images**2 / 2 * candidate_s, width))
    width = min(costs, key=lambda cost: cost[0])[1]
    best = sketch(units, None if width is None else directions[:, :width], dtype)
    return best if best.holds() else None


def _try(trial: Sketch, threshold: float) -> tuple[float, float]:
    """Seconds for one tile of the sample, and the share of its pairs that would be candidates."""
    everything = slice(len(trial.vectors))
    trial.scores(everything, everything)  # warm
    started = time.perf_counter()
    scores = trial.scores(everything, everything)
    scores.amax(dim=1)
    if scores.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    hits = (scores >= trial.lowest_score(threshold)).sum() - len(scores)  # without the rows themselves
    return seconds, max(float(hits), 0.0) / (len(scores) * (len(scores) - 1))


def _seconds_per_candidate(images: int, measure: Callable[[Tensor, Tensor], Tensor]) -> float:
    draw = torch.Generator().manual_seed(1)
    a, b = torch.randint(images, (2, _TIMED_CANDIDATES), generator=draw)
    measure(a, b)
    started = time.perf_counter()
    measure(a, b).cpu()
    return (time.perf_counter() - started) / _TIMED_CANDIDATES
