"""Sketches of whole numbers in 8 bits, which a processor multiplies at least twice as fast as float32.

The bound is that of `sketch.py`. A row has two stored forms: z as a row of a tile, in multiples of s, and z as a column, in
multiples of t. With d >= |Q'x - z| and r >= |x - Q z| of the form that is multiplied,

    <x, y> <= <zx, zy> + rx ry + dx |zy| + dy |zx| + 3 eps |zx| |zy|.

Because rx ry <= (rx**2 + ry**2) / 2, |z| <= 1 + 2 eps + d and 2 dx dy <= dx**2 + dy**2, the middle terms are at most ax + ay:

    a = r**2 / 2 + d (1 + 2 eps) + d**2.

So each form of a row has some more numbers, whose products with constants of the other form are at least a. What does not fit
into these numbers is taken off the lowest score of the row. The sum of whole numbers is exact. It is rounded to steps of 1 / 256.

Instructions before VNNI add two products in 16 bits, and saturate silently. 2 * 127 * 127 fits, so the numbers of a row have 7
bits (0 to 127, of which 64 are taken off again), and those of a column 8 bits.
"""

from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from miner.pairs.arithmetic.cosine import ROUNDOFF
from miner.pairs.arithmetic.threads import Buffer
from miner.pairs.engines.sketch import Projection, Sketch, SketchedBlock, _Floor, gamma

_ROW_MOST, _COLUMN_MOST = 63, 127
_ZERO = _ROW_MOST + 1  # of the stored form of rows
_STEPS = 256  # of a score
_UNSURE = 1e-3  # of such a step: more than the float32 scale of a score rounds
_DEVIATIONS = 3.5  # of a coordinate that are stored; longer ones are cut
_MEASURED_ROWS = 1024
_SPARE = 1.5  # of the numbers that hold the a of these rows, for the other rows
_BEYOND_BYTES = 4


@dataclass(frozen=True)
class ByteSketch(Sketch):
    """Sketches that are multiplied as whole numbers.

    Attributes:
        vectors: uint8 (n, 2 w + 4): the form of a row, the form of a column (int8), and how much of a is missing (float32).
        score_step: what a sum of 1 stands for.
    """

    score_step: float
    _packed: dict[tuple[int, ...], Tensor] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def _width(self) -> int:
        return (self.vectors.shape[1] - _BEYOND_BYTES) // 2

    def lowest_score(self, floor: _Floor) -> _Floor:
        """See `Sketch.lowest_score`; in steps of a score, 0 to 255. Where something of a is missing, one for each row."""
        beyond = self.vectors[:, -_BEYOND_BYTES:].contiguous().view(torch.float32)[:, 0].double().numpy()
        least = np.min(floor) - beyond - beyond.max(initial=0.0)
        lowest = np.where(beyond > 0, least, floor) if beyond.any() else np.asarray(floor)
        steps = np.ceil((lowest - self.slack) * _STEPS - 0.5 - _UNSURE).clip(0, _STEPS - 1)
        return steps if isinstance(floor, np.ndarray) else float(steps.min())

    def scores(self, rows: slice, columns: slice, buffer: Buffer | None = None) -> Tensor:
        """Products of two blocks of rows in steps of 1 / 256, those below 0 and above 255 cut: uint8."""
        left = self.vectors[rows, : self._width]
        right = self.vectors[columns, self._width : 2 * self._width]
        tile = columns.start or 0, len(right), len(left)
        if tile not in self._packed:  # the columns of a tile are those of many others
            self._packed[tile] = _packed(right.contiguous().view(torch.int8), len(left))
        return _products(left.contiguous(), self._packed[tile], self.score_step * _STEPS)

    def holds(self, rows: int = 256) -> bool:
        """See `Sketch.holds`."""
        left = self.vectors[:rows, : self._width].double() - _ZERO
        right = self.vectors[:rows, self._width : 2 * self._width].contiguous().view(torch.int8).double()
        exact = (left @ right.T * (self.score_step * _STEPS)).clamp(0, _STEPS - 1)
        error = (self.scores(slice(rows), slice(rows)).double() - exact).abs()
        return bool((error <= 0.5 + _UNSURE).all())


@dataclass(frozen=True)
class ByteProjection(Projection):
    """How rows become such sketches.

    Attributes:
        row_step, column_step: s and t of the docstring of this module, with so few digits that their multiples are exact.
        parts: numbers of a form that hold a; as many hold the constants.
    """

    row_step: float
    column_step: float
    parts: int

    def width(self, dim: int) -> int:
        """Bytes per row of a sketch."""
        assert self.basis is not None
        return 2 * (self.basis.shape[1] + 2 * self.parts) + _BEYOND_BYTES

    def row_bytes(self, dim: int) -> int:
        """See `Projection.row_bytes`; the form of a column is held twice, as it is and packed with its sum."""
        return self.width(dim) + self.width(dim) // 2 + _BEYOND_BYTES

    def block(self, unit_vectors: Tensor) -> SketchedBlock:
        """See `Projection.block`; its `longest` is the largest |z|."""
        projected = self.projected(unit_vectors)
        rows, row_beyond, row_longest = self._form(projected, self.row_step, _ROW_MOST)
        columns, column_beyond, column_longest = self._form(projected, self.column_step, _COLUMN_MOST)
        constants = torch.ones(len(rows), self.parts)
        p = projected.shape[1]
        row_form = torch.cat([rows, constants * _ROW_MOST], dim=1) + _ZERO
        column_form = torch.cat([columns[:, :p], constants * _COLUMN_MOST, columns[:, p:]], dim=1)
        beyond = torch.maximum(row_beyond, column_beyond).float() * (1 + 4 * ROUNDOFF)
        stored = [
            row_form.to(torch.uint8),
            column_form.to(torch.int8).view(torch.uint8),
            beyond[:, None].view(torch.uint8),
        ]
        return SketchedBlock(torch.cat(stored, dim=1), 0.0, max(row_longest, column_longest), 0.0)

    def sketch(self, vectors: Tensor, blocks: list[SketchedBlock]) -> ByteSketch:
        """See `Projection.sketch`."""
        slack = 3 * self._skew * max(block.longest for block in blocks) ** 2 + 6 * ROUNDOFF
        return ByteSketch(vectors, slack, 0.0, self.row_step * self.column_step)

    def allowance(self, projected: Tensor, exactly: Tensor) -> Tensor:
        """The a of rows whose projections are stored exactly as given: float64 (m,)."""
        relative, missed = gamma(projected.shape[1] + 8), projected - exactly
        distance = missed.norm(dim=1).double() * (1 + relative) + self._projection_error
        squares = exactly.square().sum(dim=1).double()
        rest = 1 + 8 * ROUNDOFF - squares * (1 - relative) - 2 * (missed * exactly).sum(dim=1).double()
        rest += 2 * squares.sqrt() * (1 + relative) * (self._projection_error + relative * distance)
        rest += self._skew * squares * (1 + relative)
        allowance: Tensor = rest.clamp_min(0) / 2 + distance * (1 + 2 * self._skew + 4 * ROUNDOFF) + distance.square()
        return allowance

    def _form(self, projected: Tensor, step: float, most: int) -> tuple[Tensor, Tensor, float]:
        """Whole numbers of the rows and of their a, float32 (m, p + parts), what of a is missing (m,), and the largest |z|."""
        numbers = (projected / step).round_().clamp_(-most, most)
        exactly = numbers * step
        allowance = self.allowance(projected, exactly)
        unit = self.row_step * self.column_step * (_ROW_MOST + _COLUMN_MOST - most)
        wanted = torch.ceil(allowance / unit * (1 + 1e-12))
        first = torch.arange(self.parts) * most
        parts = (wanted[:, None] - first).clamp(0, most)
        beyond = ((wanted - self.parts * most) * unit).clamp_min(0)
        longest = float(exactly.square().sum(dim=1).max()) ** 0.5 * (1 + gamma(projected.shape[1] + 8))
        return torch.cat([numbers, parts.float()], dim=1), beyond, longest


def byte_projection(unit_vectors: Tensor, directions: Tensor) -> ByteProjection:
    """The projection on directions, turned so that all coordinates are about as long.

    Args:
        unit_vectors: a sample of unit rows, float32 (m, d).
        directions: orthonormal, float32 (d, p).
    """
    draw = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(directions.shape[1], directions.shape[1], generator=draw)).Q
    basis = directions @ turn
    sample = unit_vectors[:_MEASURED_ROWS] @ basis
    longest = _DEVIATIONS * float(sample.square().mean().sqrt()) + 1e-6
    s, t = (float(torch.tensor(longest / most).bfloat16()) for most in (_ROW_MOST, _COLUMN_MOST))
    bare = ByteProjection(basis, torch.uint8, s, t, 1)
    allowances = bare.allowance(sample, (sample / s).round().clamp(-_ROW_MOST, _ROW_MOST) * s)
    parts = _SPARE * float(allowances.max()) / (_ROW_MOST * _COLUMN_MOST * s * t)
    return replace(bare, parts=min(int(parts) + 1, directions.shape[1]))


@cache
def multiplies_bytes() -> bool:
    """Whether this torch has the product with vector instructions, and the largest sums come out right."""
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return False
    rows, columns = (
        torch.full((64, 512), _ROW_MOST + _ZERO, dtype=torch.uint8),
        torch.full((64, 512), 127, dtype=torch.int8),
    )
    columns[::2] = -127
    try:
        product = _products(rows, _packed(columns, len(rows)), 1 / (512 * 127))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return bool((product[:, 1::2] == _ROW_MOST).all()) and not bool(product[:, ::2].any())


def _packed(columns: Tensor, rows: int) -> Tensor:
    """Columns, int8 (n, w), as they are multiplied with so many rows."""
    packed: Tensor = torch.ops.onednn.qlinear_prepack(columns, [rows, columns.shape[1]])
    return packed


def _products(rows: Tensor, packed: Tensor, scale: float) -> Tensor:
    """(rows - 64) @ columns.T times the scale, rounded and cut to uint8: rows uint8 (m, w), columns int8 (n, w) as packed."""
    scales, zeros = torch.tensor([scale]), torch.zeros(1, dtype=torch.int64)
    scored: Tensor = torch.ops.onednn.qlinear_pointwise(
        rows, 1.0, _ZERO, packed, scales, zeros, None, 1.0, 0, torch.uint8, "none", [], ""
    )
    return scored
