"""The exact engine on a GPU: all pairs a < b above a threshold, from the sketch to the float64 cosine without leaving it."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.artifacts.embeddings.vectors import Vectors, blocks
from miner.errors import MinerError
from miner.pairs.arithmetic.cosine import LONGEST_EXACT, check_lengths
from miner.pairs.engines.base import FloodError, RowPairs
from miner.pairs.engines.sketch import Projection, Sketch, SketchMaker, principal_directions
from miner.pairs.engines.tiles.base import Block, Tiles, TooManyPairsError, holds
from miner.pairs.engines.tiles.pytorch import tiles_for

_READ_ROWS = 16384
_SAMPLE_ROWS = 16384
_WIDTHS = (63, 127, 191, 255, 383, 511)
_TIMED_PAIRS = 1 << 18
_MOST_CANDIDATES = 1 << 24
_SPARE_BYTES = 3 << 30  # for these candidates, and for the marks of tiles
# As fast as bfloat16 and eight times as precise, but not below 2**-14: there the rests r of two rows, at most 1 and each
# rounded by 2**-25, may lower a product by `_SMALL_RESTS` in all.
_DTYPE = torch.float16
_SMALL_RESTS = 2.0**-23


class GpuEngine:
    """Proposes every pair whose cosine may reach a threshold, a strip of rows at a time.

    Whole tiles are multiplied as sketches (`sketch.py`) in float16. If the stored vectors fit on the device, the candidates are
    measured there in float64, so that nearly every proposed pair is a pair. If they do not fit, the sketches alone decide.

    Args:
        vectors: the vectors as stored; read once.
        threshold: lowest cosine of a pair.
        projection: how rows become sketches, with its basis on the device; chosen by trial if not given.
        tiles: how tiles are multiplied; the fastest way of the device if not given.
        memory_bytes: most device memory for the stored vectors; the free memory less a reserve if not given.
        most_candidates: that are measured at once.

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
        memory_bytes: float | None = None,
        most_candidates: int = _MOST_CANDIDATES,
    ) -> None:
        self.threshold = threshold
        self.device = device
        self.tiles = tiles or tiles_for(device)
        self.count = len(vectors)
        self.memory_bytes = _free_bytes(device) - _SPARE_BYTES if memory_bytes is None else memory_bytes
        self.most_candidates = most_candidates
        projection = projection or self._plan(vectors)
        self.stored, self.lengths, self.sketch = self._prepare(vectors, projection)
        exact = vectors.dtype == np.float16 and float(self.lengths.max()) < LONGEST_EXACT
        # `rescore` rounds to 1 and -1, and sums that are not exact may differ from its sums in their last bits.
        self.lowest_cosine = threshold - (1 if exact else vectors.dim) * 2.0**-51
        self.lowest_score = _lowest_score(self.sketch, threshold)
        if not holds(self.tiles, self.sketch.vectors, self.sketch.product_error):
            raise MinerError(f"Products on {device} are less precise than the search needs. Use --device cpu.")

    def candidates(self, start: int, stop: int, limit: int, min_b: int = 0) -> RowPairs:
        """See `Engine.candidates`."""
        found, count = [torch.empty((0, 2), dtype=torch.int64)], 0
        for pairs in self._strips(start, stop, min_b):
            count += len(pairs)
            if count > limit:
                raise FloodError
            found.append(pairs.cpu())
        a, b = torch.cat(found).numpy().T
        return np.ascontiguousarray(a), np.ascontiguousarray(b)

    def _strips(self, start: int, stop: int, min_b: int) -> Iterator[Tensor]:
        """The pairs of a strip, in parts; a strip with too many candidates is halved."""
        whole = Block(self.sketch.vectors)
        left, right = whole.rows(start, stop), whole.rows(max(start, min_b), self.count)
        most = None if stop - start == 1 else self.most_candidates
        try:
            pairs = self.tiles.above(left, right, self.lowest_score, most)
        except TooManyPairsError:
            middle = (start + stop) // 2
            yield from self._strips(start, middle, min_b)
            yield from self._strips(middle, stop, min_b)
            return
        if self.stored is not None:
            stored = Block(self.stored)
            cosines = self.tiles.measure(pairs, stored, stored)
            cosines /= self.lengths[pairs[:, 0]] * self.lengths[pairs[:, 1]]
            pairs = pairs[cosines >= self.lowest_cosine]
        yield pairs

    def _prepare(self, vectors: Vectors, projection: Projection) -> tuple[Tensor | None, Tensor, Sketch]:
        """Stored vectors if they fit, their lengths float64 (n,), and their sketches, all on the device."""
        dtype = torch.from_numpy(np.empty(0, vectors.dtype)).dtype
        maker = SketchMaker(projection, self.count, vectors.dim, self.device)
        lengths = torch.empty(self.count, dtype=torch.float64, device=self.device)
        held = self.count * vectors.dim * vectors.dtype.itemsize <= self.memory_bytes
        stored = torch.empty(self.count, vectors.dim, dtype=dtype, device=self.device) if held else None
        for start, stop in blocks(self.count, _READ_ROWS):
            part, lengths[start:stop] = self._read(vectors.read(start, stop), start)
            if stored is not None:
                stored[start:stop] = part
            maker.add(slice(start, stop), (part.double() / lengths[start:stop, None]).float())
        return stored, lengths, maker.sketch()

    def _read(self, rows: NDArray[np.floating], first_row: int | None) -> tuple[Tensor, Tensor]:
        """Stored rows on the device, and their lengths in float64."""
        part = torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)
        # The lengths are those of numpy on the CPU, because the square root of another device may round differently.
        lengths = np.sqrt(part.double().square().sum(dim=1).cpu().numpy())
        check_lengths(lengths, first_row)
        return part, torch.from_numpy(lengths).to(self.device)

    def _plan(self, vectors: Vectors) -> Projection:
        """The projection that promises the least time, for the tiles of a sample and for the candidates that they leave."""
        order = np.sort(np.random.default_rng(0).choice(self.count, min(_SAMPLE_ROWS, self.count), replace=False))
        stored, lengths = self._read(vectors.take(order), None)
        unit_vectors = (stored.double() / lengths[:, None]).float()
        generator = torch.Generator().manual_seed(0)
        pairs = torch.randint(len(unit_vectors), (_TIMED_PAIRS, 2), generator=generator).to(self.device)
        pair_s = self._seconds(partial(self.tiles.measure, pairs, Block(stored), Block(stored))) / _TIMED_PAIRS
        best, least = Projection(None, _DTYPE), float("inf")
        for projection in _projections(unit_vectors):
            block = projection.block(unit_vectors)
            lowest_score = _lowest_score(projection.sketch(block.vectors, [block]), self.threshold)
            rows = Block(block.vectors)
            search = partial(self.tiles.above, rows, rows, lowest_score, self.most_candidates)
            try:
                seconds = len(search()) * pair_s + self._seconds(search)
            except TooManyPairsError:
                continue
            if seconds < least:
                best, least = projection, seconds
        return best

    def _seconds(self, work: Callable[[], object]) -> float:
        """Seconds of the second call; the first call may compile."""
        for _ in range(2):
            _wait(self.device)
            started = time.perf_counter()
            work()
            _wait(self.device)
        return time.perf_counter() - started


def _projections(unit_vectors: Tensor) -> Iterator[Projection]:
    """Projections on the main directions of a sample (m, d), shortest first, and the one that keeps the rows whole."""
    widths = [width for width in _WIDTHS if width < unit_vectors.shape[1]]
    try:
        directions = principal_directions(unit_vectors, max(widths, default=1))
    except RuntimeError:  # the decomposition did not converge
        widths = []
    for width in widths:
        if bool(torch.isfinite(directions[:, :width]).all()):
            yield Projection(directions[:, :width].contiguous(), _DTYPE)
    yield Projection(None, _DTYPE)


def _lowest_score(sketch: Sketch, threshold: float) -> float:
    """The lowest float32 product of two sketches whose rows are a pair."""
    return threshold - sketch.slack - sketch.product_error - _SMALL_RESTS


def _free_bytes(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
