"""Short low-precision vectors whose inner products bound cosines from above.

The bound (Cauchy-Schwarz on the part that a few directions miss; the dense cousin of the prefix bound of L2AP, Anastasiu and
Karypis 2014). Legend: x, y rows (n, d) of length 1 up to 2 u whose inner product lies within 5 u of the cosine; Q a basis
(d, p), nearly orthonormal; z the rounded projection of x that is stored; e = x - Q z what it misses; u = 2**-24 the unit
roundoff of float32; gamma(k) = k u / (1 - k u) bounds the relative error of a float32 sum of k terms.

    <x, y> = <Q zx, Q zy> + <Q zx, ey> + <ex, Q zy> + <ex, ey>

1. <Q zx, Q zy> <= <zx, zy> + eps |zx| |zy|, with eps = |Q'Q - I| (Frobenius norm, in float64).
2. Q'ey = (Q'y - zy) - (Q'Q - I) zy, so |<Q zx, ey>| <= |zx| (delta + eps |zy|), where delta >= |Q'y - zy| for every row: the
   error pi of the projection q of y in float32, plus the measured distance |q - z| between it and what is stored. The
   projection is the sum of products of at most c dimensions at a time, so pi <= gamma(c + d / c) |Q|_F.
3. <ex, ey> <= |ex| |ey|, and |ex|**2 <= |x|**2 - |zx|**2 - 2 <q - zx, zx> + 2 |zx| pi + eps |zx|**2 =: r**2.

So <x, y> <= <zx, zy> + rx ry + slack, which is one inner product of the (p + 1)-vectors (z, r), plus the slack of 1 and 2.
r is rounded up. The product is summed in float32, with an error of gamma(2 (p + 1)) times the largest |z|**2 + r**2, which is
taken off the threshold in `lowest_score`. It may then be rounded to the nearest number of the stored type. Rounding keeps the
order of numbers, so the threshold is rounded, too.

Rows are projected by blocks; delta and |z| are the largest of a block for its r, and the largest of all for the slack.
"""

import math
import threading
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.pairs.arithmetic.cosine import ROUNDOFF
from miner.pairs.arithmetic.products import product
from miner.pairs.arithmetic.threads import Buffer, Threads

_Floor = TypeVar("_Floor", float, NDArray[np.float64])

_PROJECTED_DIMS = 256
_OVERSAMPLING = 64
_ITERATIONS = 3
_LARGEST_SKEW = 1e-4


@dataclass(frozen=True)
class Sketch:
    """Vectors whose inner products bound the cosines of the rows that they stand for.

    Attributes:
        vectors: bfloat16 or float32 (n, p + 1), or (n, d) where nothing is left out.
        slack: how far a cosine can lie above the exact inner product of two of them.
        product_error: how far a float32 product of two of them can lie from the exact one.
    """

    vectors: Tensor
    slack: float
    product_error: float

    def lowest_score(self, floor: _Floor) -> _Floor:
        """The lowest product, as the device rounds it, of a pair whose cosine reaches a floor: one, or one for each row."""
        lowest = floor - self.slack - self.product_error
        if self.vectors.dtype != torch.bfloat16:
            return lowest
        below = np.nextafter(np.asarray(lowest, np.float32), np.float32(-np.inf))  # a tie may be rounded either way
        rounded = torch.as_tensor(below).bfloat16().double().numpy()
        return rounded if isinstance(floor, np.ndarray) else float(rounded)

    def scores(self, rows: slice, columns: slice, buffer: Buffer | None = None) -> Tensor:
        """Products of two blocks of rows, in the stored type; in the memory of the buffer, if one is given."""
        left, right = self.vectors[rows], self.vectors[columns]
        if left.dtype == torch.float32:
            return product(left, right)
        into = None if buffer is None else buffer.of((len(left), len(right)), left.dtype)
        return torch.mm(left, right.T, out=into)

    def holds(self, rows: int = 256) -> bool:
        """Whether the products of this device keep to `product_error`, checked in float64 on the first rows."""
        sample = self.vectors[:rows]
        exact = sample.double() @ sample.double().T
        error = (self.scores(slice(rows), slice(rows)).double() - exact).abs()
        half_step = 2.0**-8 if self.vectors.dtype == torch.bfloat16 else 0.0
        return bool((error <= self.product_error + half_step * (exact.abs() + self.product_error)).all())


@dataclass(frozen=True)
class SketchedBlock:
    """The sketch of some rows, and the numbers that bound its errors.

    Attributes:
        vectors: as in `Sketch`.
        rounding: largest distance between a float32 projection and its stored form z.
        longest: largest |z|.
        largest_rest: largest r.
    """

    vectors: Tensor
    rounding: float
    longest: float
    largest_rest: float


@dataclass(frozen=True)
class Projection:
    """How rows become sketches.

    Attributes:
        basis: float32 (d, p), nearly orthonormal, or None to round the rows themselves.
        dtype: the type of the stored vectors.

    Raises:
        ValueError: the basis is not finite, so that nothing can be bounded.
    """

    basis: Tensor | None
    dtype: torch.dtype

    def __post_init__(self) -> None:
        if self.basis is not None and not bool(torch.isfinite(self.basis).all()):
            raise ValueError("the basis of a sketch must be finite")

    def width(self, dim: int) -> int:
        """Numbers per row of a sketch."""
        return dim if self.basis is None else self.basis.shape[1] + 1

    def row_bytes(self, dim: int) -> int:
        """Bytes that are held for each row of a sketch."""
        return self.width(dim) * self.dtype.itemsize

    @cached_property
    def _skew(self) -> float:
        """The eps of the docstring of this module."""
        if self.basis is None:
            return 0.0
        moment = self.basis.T.double() @ self.basis.double()
        return float((moment - torch.eye(len(moment), device=moment.device)).norm()) + 1e-12

    @cached_property
    def _projection_error(self) -> float:
        """The pi of the docstring of this module, for a unit vector."""
        if self.basis is None:
            return 0.0
        steps = _PROJECTED_DIMS + math.ceil(len(self.basis) / _PROJECTED_DIMS)
        return gamma(steps) * float(self.basis.double().norm()) * (1 + 4 * ROUNDOFF + gamma(len(self.basis) + 8))

    def projected(self, unit_vectors: Tensor) -> Tensor:
        """Rows along the basis, float32 (m, p); the rows themselves if there is none."""
        return unit_vectors if self.basis is None else _projected(unit_vectors, self.basis)

    def block(self, unit_vectors: Tensor) -> SketchedBlock:
        """The sketch of rows: float32 (m, d), of length 1 up to 2 u."""
        relative = gamma(unit_vectors.shape[1] + 8)
        projected = self.projected(unit_vectors)
        stored = projected.to(self.dtype)
        exactly = stored.float()
        squares = exactly.square().sum(dim=1)
        missed = projected - exactly
        rounding = 0.0 if self.dtype == torch.float32 else float(missed.norm(dim=1).max()) * (1 + relative)
        longest = math.sqrt(float(squares.max()) * (1 + relative))
        if self.basis is None:
            return SketchedBlock(stored, rounding, longest, 0.0)
        rest = 1 + 8 * ROUNDOFF - squares * (1 - relative) - 2 * missed.mul_(exactly).sum(dim=1)
        rest += 2 * longest * (self._projection_error + relative * rounding) + self._skew * longest**2
        rests = _rounded_up(rest.clamp_min_(0).sqrt_().mul_(1 + 8 * ROUNDOFF), self.dtype)
        return SketchedBlock(torch.cat([stored, rests[:, None]], dim=1), rounding, longest, float(rests.max()))

    def sketch(self, vectors: Tensor, blocks: list[SketchedBlock]) -> Sketch:
        """One sketch of all blocks; `vectors` holds their rows."""
        rounding = max(block.rounding for block in blocks)
        longest = max(block.longest for block in blocks)
        rest = max(block.largest_rest for block in blocks)
        if self.basis is None:
            # <x, y> - <zx, zy> = <x - zx, y> + <zx, y - zy>.
            slack = rounding * (1 + 2 * ROUNDOFF + longest) + 6 * ROUNDOFF
        else:
            delta = self._projection_error + rounding
            slack = self._skew * longest**2 + 2 * longest * (delta + self._skew * longest) + 6 * ROUNDOFF
        most = longest**2 + rest**2
        return Sketch(vectors, slack, gamma(2 * vectors.shape[1]) * most * (1 + 4 * ROUNDOFF))


def _projected(rows: Tensor, basis: Tensor) -> Tensor:
    """Products of rows and a basis, float32 (m, p): sums over few dimensions, then the sum of these."""
    parts = zip(torch.split(rows, _PROJECTED_DIMS, dim=1), torch.split(basis, _PROJECTED_DIMS), strict=True)
    products = (product(part, directions.T) for part, directions in parts)
    total = next(products)
    for other in products:
        total += other
    return total


def _rounded_up(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers >= 0 of float32 in another type, where it is normal never below."""
    nearest = numbers.to(dtype)
    above = (nearest.float() * (1 + 0.51 * torch.finfo(dtype).eps)).to(dtype)
    return torch.where(nearest.float() < numbers, above, nearest)


class SketchMaker:
    """Collects the sketch of `count` rows of `dim` numbers, block by block."""

    def __init__(self, projection: Projection, count: int, dim: int, device: torch.device | None = None) -> None:
        self.projection = projection
        self.vectors = torch.empty(count, projection.width(dim), dtype=projection.dtype, device=device)
        self.blocks: list[SketchedBlock] = []

    def add(self, rows: slice, unit_vectors: Tensor) -> None:
        """Sketch some rows. Several threads may add rows at once."""
        block = self.projection.block(unit_vectors)
        self.vectors[rows] = block.vectors
        self.blocks.append(replace(block, vectors=block.vectors[:0]))

    def sketch(self) -> Sketch:
        return self.projection.sketch(self.vectors, self.blocks)


def gamma(terms: int) -> float:
    """Bound on the relative error of a float32 sum of that many products, in any order."""
    return terms * ROUNDOFF / (1 - terms * ROUNDOFF)


class PrincipalDirections:
    """Orthonormal directions of a sample of unit rows (m, d) with the most energy, by falling energy.

    The sample is not centred, because the join is on raw cosines. Few directions are found by subspace iteration with a
    Rayleigh-Ritz step, which is faster than all eigenvectors and as good where the energy falls. Any orthonormal directions
    would give correct bounds.

    Args:
        dtype: in which the rows are multiplied; bfloat16 finds as good directions.
        threads: share this product, if one of them is free.
    """

    def __init__(
        self, unit_vectors: Tensor, dtype: torch.dtype = torch.float32, threads: Threads | None = None
    ) -> None:
        halves = [partial(_second_moment, half, dtype) for half in unit_vectors.tensor_split(2)]
        first, second = threads.both(*halves) if threads else [half() for half in halves]
        self._moment = first + second
        self._known = self._moment[:, :0]
        self._lock = threading.Lock()

    def first(self, count: int) -> Tensor:
        """float32 (d, count). Directions that are known already are not found again; other threads wait for them.

        Raises:
            RuntimeError: a decomposition does not converge.
        """
        with self._lock:
            if count > self._known.shape[1]:
                self._known = self._found(count)
            return self._known[:, :count].contiguous()

    def _found(self, count: int) -> Tensor:
        moment, width = self._moment, count + _OVERSAMPLING
        if 3 * width > len(moment):
            return _eigenvectors(moment)
        generator = torch.Generator(device=moment.device).manual_seed(0)
        basis = torch.randn(len(moment), width, generator=generator, device=moment.device)
        for _ in range(_ITERATIONS):
            basis = torch.linalg.qr(product(moment, basis.T)).Q
        inside = basis.T @ product(moment, basis.T)
        return basis @ _eigenvectors((inside + inside.T) / 2)[:, :count]


def _second_moment(rows: Tensor, dtype: torch.dtype) -> Tensor:
    columns = rows.T.to(dtype).contiguous()
    return product(columns, columns) if dtype == torch.float32 else torch.mm(columns, columns.T).float()


def levelled(directions: Tensor) -> Tensor:
    """Orthonormal directions (d, p) of the same span, reflected so that the first of them goes to the mean of all.

    Rows have most of their energy along the first principal direction. Spread over all, it loses less when it is rounded.
    """
    normal = torch.full((directions.shape[1],), -(directions.shape[1] ** -0.5), device=directions.device)
    normal[0] += 1
    return directions - torch.outer(directions @ normal, normal) * (2 / normal.square().sum().clamp_min(ROUNDOFF))


def principal_directions(unit_vectors: Tensor, count: int) -> Tensor:
    """The first `PrincipalDirections` of a sample."""
    return PrincipalDirections(unit_vectors).first(count)


def _eigenvectors(symmetric: Tensor) -> Tensor:
    """Eigenvectors by falling eigenvalue: in float32, or in float64 where float32 fails, as it does with many dead dimensions."""
    try:
        vectors: Tensor = torch.linalg.eigh(symmetric).eigenvectors
        skew = (vectors.T @ vectors - torch.eye(len(vectors), device=vectors.device)).abs().max()
        if bool(skew < _LARGEST_SKEW):
            return vectors.flip(1)
    except RuntimeError:
        pass
    vectors = torch.linalg.eigh(symmetric.double()).eigenvectors.float()
    return vectors.flip(1)
