"""Short low-precision vectors whose inner products bound cosines from above.

The bound (Cauchy-Schwarz on the part that a few directions miss; the dense cousin of the prefix bound of L2AP, Anastasiu and
Karypis 2014). Legend: x, y unit rows (n, d); Q a basis (d, p), nearly orthonormal; z the rounded projection of x that is
stored; e = x - Q z what it misses; u = 2**-24; gamma(k) = k u / (1 - k u) bounds the relative error of a float32 sum of k terms.

    <x, y> = <Q zx, Q zy> + <Q zx, ey> + <ex, Q zy> + <ex, ey>

1. <Q zx, Q zy> <= <zx, zy> + eps |zx| |zy|, with eps = |Q'Q - I| (Frobenius norm, in float64).
2. Q'ey = (Q'y - zy) - (Q'Q - I) zy, so |<Q zx, ey>| <= |zx| (delta + eps |zy|), where delta >= |Q'y - zy| for every row: the
   rounding of the projection, at most gamma(d) |Q|_F, plus the measured distance between it and what is stored.
3. <ex, ey> <= |ex| |ey|, and |ex|**2 <= |x|**2 - |zx|**2 + 2 |zx| delta + eps |zx|**2 =: r**2.

So <x, y> <= <zx, zy> + rx ry + slack, which is one inner product of the (p + 1)-vectors (z, r), plus the slack of 1 and 2.
r is rounded up. The product is summed in float32 (error gamma(2 (p + 1)) times the largest |z|**2 + r**2) and may be rounded to
the stored type once more (2**-8 of it for bfloat16). Both are taken off the threshold in `lowest_score`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

UNIT = 2.0**-24
_BF16_STEP = 2.0**-8
_ROUND_UP = 1 + 2.0**-7


@dataclass(frozen=True)
class Sketch:
    """Vectors whose products bound the cosines of the rows that they stand for.

    Attributes:
        vectors: bfloat16 or float32 (n, p + 1), or (n, d) where nothing is left out.
        slack: how far a cosine can lie above the exact inner product of two of them.
        product_error: how far a float32 product of two of them can lie from the exact one.
    """

    vectors: Tensor
    slack: float
    product_error: float

    def lowest_score(self, threshold: float) -> float:
        """A product as the device gives it below this cannot belong to a pair of that cosine."""
        lowest = threshold - self.slack - self.product_error
        return lowest - (_BF16_STEP * abs(lowest) if self.vectors.dtype == torch.bfloat16 else 0.0)

    def scores(self, rows: slice, columns: slice) -> Tensor:
        """Products of two blocks, in the stored type."""
        return torch.mm(self.vectors[rows], self.vectors[columns].T)

    def holds(self, rows: int = 256) -> bool:
        """Whether this device's products keep to `product_error`, checked in float64 on the first rows."""
        sample = self.vectors[:rows]
        exact = sample.double() @ sample.double().T
        error = (self.scores(slice(rows), slice(rows)).double() - exact).abs()
        step = _BF16_STEP if self.vectors.dtype == torch.bfloat16 else 0.0
        return bool((error <= self.product_error + step * exact.abs()).all())


def gamma(terms: int) -> float:
    """Relative error bound of a float32 sum of products, in any order."""
    return terms * UNIT / (1 - terms * UNIT)


def principal_directions(units: Tensor) -> Tensor:
    """Orthonormal directions of a sample of unit rows (m, d), by falling energy: float32 (d, d).

    Not centred, because the join is on raw cosines. In float64, because in float32 the decomposition fails on data with many
    dead dimensions.
    """
    moment = (units.T @ units).double() / len(units)
    eigenvectors: Tensor = torch.linalg.eigh(moment).eigenvectors
    return eigenvectors.flip(1).float()


def sketch(units: Tensor, basis: Tensor | None, dtype: torch.dtype) -> Sketch:
    """Project unit rows on a basis and round them, with the bound that the module explains.

    Args:
        units: float32 (n, d), rows of length 1 up to 2 u.
        basis: float32 (d, p), nearly orthonormal, or None to round the rows themselves.
        dtype: of the stored vectors.
    Raises:
        ValueError: the basis is not finite, so that nothing can be bounded.
    """
    dim = units.shape[1]
    if basis is not None and not bool(torch.isfinite(basis).all()):
        raise ValueError("the basis of a sketch must be finite")
    projected = units if basis is None else units @ basis
    stored = projected.to(dtype)
    exactly = stored.float()
    rounding = float((projected - exactly).norm(dim=1).max()) * (1 + gamma(dim + 8))
    squares = exactly.square().sum(dim=1)
    relative = gamma(dim + 8)
    longest = math.sqrt(float(squares.max()) * (1 + relative))
    if basis is None:
        # <x, y> - <zx, zy> = <x - zx, y> + <zx, y - zy>, and a cosine lies within 3 u of <x, y>.
        slack = rounding * (1 + 2 * UNIT + longest) + 4 * UNIT
        return Sketch(stored, slack, gamma(2 * dim) * longest**2)
    width = basis.shape[1]
    skew = float((basis.double().T @ basis.double() - torch.eye(width, device=basis.device)).norm()) + 1e-12
    delta = gamma(dim) * float(basis.double().norm()) * (1 + 4 * UNIT + relative) + rounding
    slack = skew * longest**2 + 2 * longest * (delta + skew * longest) + 4 * UNIT
    missed = 1 + 8 * UNIT - squares * (1 - relative) + 2 * longest * delta + skew * longest**2
    rest = (missed.clamp_min(0).sqrt() * (1 + 8 * UNIT) * _ROUND_UP).to(dtype)
    most = longest**2 + float(rest.float().max()) ** 2
    return Sketch(torch.cat([stored, rest[:, None]], dim=1), slack, gamma(2 * (width + 1)) * most * (1 + 4 * UNIT))
