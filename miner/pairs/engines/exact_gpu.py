"""The exact engine on a GPU: all pairs a < b above a threshold, from the sketch to the float64 cosine without leaving it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.errors import MinerError
from miner.pairs.arithmetic.cosine import LONGEST_EXACT, check_lengths
from miner.pairs.engines.sketch import Projection, Sketch, principal_directions
from miner.pairs.engines.tiles.base import Block, Tiles, TooManyPairsError, holds
from miner.pairs.engines.tiles.select import tiles_for

_READ_ROWS = 16384
_SAMPLE_ROWS = 16384
_WIDTHS = (63, 127, 191, 255, 383, 511)
_TIMED_PAIRS = 1 << 18
# Candidates that are measured at once, and the memory for them and for the marks of tiles.
_MOST_CANDIDATES = 1 << 24
_SPARE_BYTES = 3 << 30
# As fast as bfloat16 and eight times as precise. Below 2**-14 it is not: there the rests r of two rows, at most 1 and rounded
# by 2**-25 each, may fall by so much in all.
_DTYPE = torch.float16
_SMALL_RESTS = 2.0**-23


class GpuEngine:
    """Proposes every pair whose cosine may reach a threshold, a strip of rows at a time.

    Whole tiles are multiplied as sketches (`miner.pairs.engines.sketch`) in float16; what may reach the threshold is measured in
    float64 from the stored vectors where they fit on the device, so that nearly all that is proposed is a pair. What does not
    fit stays where it is: then the sketches alone decide what is proposed.

    Args:
        vectors: as stored; read once.
        threshold: lowest cosine wanted.
        device: where it all runs.
        projection: how rows become sketches, with its basis on the device; chosen by trial if not given.
        tiles: how tiles are multiplied; the device's own way if not given.

    Raises:
        MinerError: a vector is zero or not finite, or this device's products are not as precise as they must be.
    """

    def __init__(
        self,
        vectors: Vectors,
        threshold: float,
        device: torch.device,
        projection: Projection | None = None,
        tiles: Tiles | None = None,
    ) -> None:
        self.threshold = threshold
        self.device = device
        self.tiles = tiles or tiles_for(device)
        self.count = len(vectors)
        projection = projection or self._plan(vectors)
        self.stored, self.lengths, self.sketch = self._prepare(vectors, projection)
        exact = vectors.dtype == np.float16 and float(self.lengths.max()) < LONGEST_EXACT
        # Sums that are not exact may differ from the canonical ones in their last bits.
        self.lowest = threshold if exact else threshold - vectors.dim * 2.0**-51
        self.lowest_score = _lowest_score(self.sketch, threshold)
        if not holds(self.tiles, self.sketch.vectors, self.sketch.product_error):
            raise MinerError(f"Products on {device} are less precise than the search needs. Use --device cpu.")

    def candidates(self, start: int, stop: int, limit: int, first: int = 0) -> tuple[Rows, Rows]:
        """Row numbers a < b with a in [start, stop) and b >= first of all pairs that may reach the threshold, by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        found, count = [torch.empty((0, 2), dtype=torch.int64)], 0
        for pairs in self._strips(start, stop, first):
            count += len(pairs)
            if count > limit:
                from miner.pairs.band_join import FloodError  # needs pyarrow, which the engine itself does not

                raise FloodError
            found.append(pairs.cpu())
        a, b = torch.cat(found).numpy().T
        return np.ascontiguousarray(a), np.ascontiguousarray(b)

    def _strips(self, start: int, stop: int, first: int) -> Iterator[Tensor]:
        """Pairs of a strip, which is halved where its candidates are too many at once."""
        whole = Block(self.sketch.vectors)
        left, right = whole.rows(start, stop), whole.rows(max(start, first), self.count)
        most = None if stop - start == 1 else _MOST_CANDIDATES
        try:
            pairs = self.tiles.above(left, right, self.lowest_score, most)
        except TooManyPairsError:
            middle = (start + stop) // 2
            yield from self._strips(start, middle, first)
            yield from self._strips(middle, stop, first)
            return
        if self.stored is not None:
            stored = Block(self.stored)
            cosines = self.tiles.measure(pairs, stored, stored)
            cosines /= self.lengths[pairs[:, 0]] * self.lengths[pairs[:, 1]]
            pairs = pairs[cosines >= self.lowest]
        yield pairs

    def _prepare(self, vectors: Vectors, projection: Projection) -> tuple[Tensor | None, Tensor, Sketch]:
        """Stored vectors if they fit, their lengths float64 (n,), and their sketches, all on the device."""
        dtype = torch.from_numpy(np.empty(0, vectors.dtype)).dtype
        width = projection.width(vectors.dim)
        rows = torch.empty(self.count, width, dtype=projection.dtype, device=self.device)
        lengths = torch.empty(self.count, dtype=torch.float64, device=self.device)
        held = self.count * vectors.dim * vectors.dtype.itemsize <= _free_bytes(self.device) - _SPARE_BYTES
        stored = torch.empty(self.count, vectors.dim, dtype=dtype, device=self.device) if held else None
        sketched = []
        for start, stop in blocks(self.count, _READ_ROWS):
            part, lengths[start:stop] = self._read(vectors.read(start, stop), start)
            if stored is not None:
                stored[start:stop] = part
            block = projection.block((part.double() / lengths[start:stop, None]).float())
            rows[start:stop] = block.vectors
            sketched.append(replace(block, vectors=block.vectors[:0]))
        return stored, lengths, projection.sketch(rows, sketched)

    def _read(self, rows: NDArray[np.floating], first: int | None) -> tuple[Tensor, Tensor]:
        """Stored rows on the device, and their lengths in float64."""
        part = torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)
        # PyTorch's square root may round otherwise than numpy's, whose lengths are the canonical ones.
        lengths = np.sqrt(part.double().square().sum(dim=1).cpu().numpy())
        check_lengths(lengths, first)
        return part, torch.from_numpy(lengths).to(self.device)

    def _plan(self, vectors: Vectors) -> Projection:
        """The width that promises the least time: that of the tiles of a sample, and of measuring what they leave."""
        order = np.sort(np.random.default_rng(0).choice(self.count, min(_SAMPLE_ROWS, self.count), replace=False))
        stored, lengths = self._read(vectors.take(order), None)
        units = (stored.double() / lengths[:, None]).float()
        pairs = torch.randint(len(units), (_TIMED_PAIRS, 2), generator=torch.Generator().manual_seed(0)).to(self.device)
        pair_s = self._seconds(partial(self.tiles.measure, pairs, Block(stored), Block(stored))) / _TIMED_PAIRS
        best, least = Projection(None, _DTYPE), float("inf")
        for projection in _projections(units):
            block = projection.block(units)
            lowest = _lowest_score(projection.sketch(block.vectors, [block]), self.threshold)
            search = partial(self.tiles.above, Block(block.vectors), Block(block.vectors), lowest, _MOST_CANDIDATES)
            try:
                seconds = len(search()) * pair_s + self._seconds(search)
            except TooManyPairsError:
                continue
            if seconds < least:
                best, least = projection, seconds
        return best

    def _seconds(self, work: Callable[[], object]) -> float:
        """Of the second call; the first may compile."""
        for _ in range(2):
            _wait(self.device)
            started = time.perf_counter()
            work()
            _wait(self.device)
        return time.perf_counter() - started


def _projections(units: Tensor) -> Iterator[Projection]:
    """On the main directions of a sample (m, d), shortest first, and none at all."""
    widths = [width for width in _WIDTHS if width < units.shape[1]]
    try:
        directions = principal_directions(units, max(widths, default=1))
    except RuntimeError:  # the decomposition did not converge
        widths = []
    for width in widths:
        if bool(torch.isfinite(directions[:, :width]).all()):
            yield Projection(directions[:, :width].contiguous(), _DTYPE)
    yield Projection(None, _DTYPE)


def _lowest_score(sketch: Sketch, threshold: float) -> float:
    """A float32 product of two sketches below this cannot belong to a pair of that cosine."""
    return threshold - sketch.slack - sketch.product_error - _SMALL_RESTS


def _free_bytes(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
