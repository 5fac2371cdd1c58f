"""Tiles against a float64 brute force. `test_triton.py` runs this file again with the kernels in the interpreter of Triton."""

import math
import os
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from miner.pairs.engines.sketch import gamma
from miner.pairs.engines.tiles.base import Block, Tiles, TooManyPairsError, holds
from miner.pairs.engines.tiles.pytorch import TorchTiles, tiles_for

SIZES = [1, 2, 15, 16, 17, 129]
DTYPES = [torch.bfloat16, torch.float16, torch.float32]
KINDS = ["random", "duplicates", "opposite", "grid"]


INTERPRETING = os.environ.get("TRITON_INTERPRET") == "1"
EXAMPLES = 12 if INTERPRETING else 60


def implementations() -> list[Any]:
    if not INTERPRETING:
        return [TorchTiles(), TorchTiles(tile_rows=7, tile_columns=20)]
    from miner.pairs.engines.tiles.triton import TileShape, TritonTiles

    return [
        TritonTiles(TileShape(rows=16, columns=32, depth=16, warps=4, stages=2), marks_bytes=1),
        TritonTiles(TileShape(rows=32, columns=128, depth=32, warps=4, stages=2)),
    ]


TILES = implementations()
all_tiles = pytest.mark.parametrize("tiles", TILES, ids=[str(number) for number in range(len(TILES))])


def difficult(kind: str, count: int, width: int, dtype: torch.dtype, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.nn.functional.normalize(torch.randn(count, width, generator=draw))
    if kind == "duplicates":
        vectors = vectors[torch.randint(max(count // 3, 1), (count,), generator=draw)]
    elif kind == "opposite":
        vectors[count // 2 :] = -vectors[: count - count // 2]
    elif kind == "grid":  # whole numbers, whose products are exact in every type
        vectors = torch.randint(-1, 2, (count, width), generator=draw).float()
    return vectors.to(dtype)


def exact_products(left: Block, right: Block) -> Tensor:
    """float64, and minus infinity where not a < b."""
    products = left.vectors.double() @ right.vectors.double().T
    a, b = torch.arange(left.start, left.stop), torch.arange(right.start, right.stop)
    return products.masked_fill(a[:, None] >= b[None, :], -torch.inf)


def pairs_of(mask: Tensor, left: Block, right: Block) -> list[list[int]]:
    return (mask.nonzero() + torch.tensor([left.start, right.start])).tolist()


def check(tiles: Tiles, left: Block, right: Block, lowest: float) -> None:
    """All that must be there is, nothing is that may not, each once, in order."""
    exact = exact_products(left, right)
    longest = max(float(block.vectors.double().norm(dim=1).max()) for block in (left, right))
    error = gamma(2 * left.vectors.shape[1]) * longest**2
    dtype = left.vectors.dtype
    rounding = torch.finfo(dtype).eps if isinstance(tiles, TorchTiles) and dtype != torch.float32 else 0.0
    found = tiles.above(left, right, lowest)
    assert found.dtype == torch.int64 and found.shape[1] == 2
    pairs = [tuple(pair) for pair in found.tolist()]
    assert pairs == sorted(set(pairs))
    must = {tuple(pair) for pair in pairs_of(exact >= lowest + error, left, right)}
    may = {tuple(pair) for pair in pairs_of(exact >= lowest - error - rounding * (abs(lowest) + error), left, right)}
    assert must <= set(pairs) <= may


@all_tiles
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    count=st.sampled_from(SIZES),
    width=st.integers(2, 200),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_all_pairs_of_a_strip(tiles, kind, count, width, dtype, seed, data) -> None:
    whole = Block(difficult(kind, count, width, dtype, seed))
    start = data.draw(st.integers(0, count - 1))
    left = whole.rows(start, data.draw(st.integers(start + 1, count)))
    some = exact_products(left, whole).flatten()
    some = some[some.isfinite()][:: max(1, len(some) // 50)]
    # A value that is one of the products is the hard one.
    lowest = data.draw(st.sampled_from([-2.0, 0.0, 0.3, *some.tolist()]))
    check(tiles, left, whole, lowest)
    check(tiles, left, whole.rows(start, count), lowest)


@all_tiles
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("count", "width"), [(17, 2), (33, 33), (129, 64), (40, 200)])
def test_products_at_the_bound_count(tiles, count, width, dtype) -> None:
    whole = Block(difficult("grid", count, width, dtype, count + width))
    exact = exact_products(whole, whole)
    for lowest in (-1.0, 0.0, 1.0, float(exact.max())):
        assert tiles.above(whole, whole, lowest).tolist() == pairs_of(exact >= lowest, whole, whole) != []
    assert tiles.above(whole, whole, float(exact.max()) + 1).shape == (0, 2)


@all_tiles
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    starts=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    far=st.sampled_from([0, 2**31 - 30, 2**40]),
    seed=st.integers(0, 2**16),
)
@example(starts=(0, 0), far=0, seed=0)
@example(starts=(0, 39), far=2**31 - 30, seed=1)
@example(starts=(60, 0), far=0, seed=2)
def test_blocks_may_lie_anywhere(tiles, starts, far, seed) -> None:
    left = Block(difficult("grid", 37, 20, torch.float16, seed), starts[0] + far)
    right = Block(difficult("grid", 50, 20, torch.float16, seed + 1), starts[1] + far)
    wanted = pairs_of(exact_products(left, right) >= 2, left, right)
    assert tiles.above(left, right, 2.0).tolist() == wanted


@all_tiles
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    count=st.sampled_from(SIZES),
    width=st.integers(2, 100),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_pairs_that_reach_the_lower_floor_of_their_rows(tiles, kind, count, width, dtype, seed, data) -> None:
    vectors = difficult(kind, count, width, dtype, seed)
    exact = vectors.double() @ vectors.double().T
    floors = exact[torch.arange(count), torch.randperm(count)].float()  # products: the hard values
    whole = Block(vectors, floors=floors)
    start = data.draw(st.integers(0, count - 1))
    left = whole.rows(start, data.draw(st.integers(start + 1, count)))
    error = gamma(2 * width) * float(vectors.double().norm(dim=1).max()) ** 2
    rounding = torch.finfo(dtype).eps if isinstance(tiles, TorchTiles) and dtype != torch.float32 else 2.0**-23
    above = exact - torch.minimum(floors[:, None], floors).double()
    slack = error + rounding * (exact.abs() + error)
    inside = torch.zeros(count, count, dtype=torch.bool)
    inside[left.start : left.stop] = True
    pairs = [tuple(pair) for pair in tiles.above(left, whole, None).tolist()]
    assert pairs == sorted(set(pairs))
    must, may = (
        set(map(tuple, (mask & inside).triu(1).nonzero().tolist())) for mask in (above >= slack, above >= -slack)
    )
    assert must <= set(pairs) <= may


@all_tiles
def test_more_pairs_than_the_caller_can_take(tiles) -> None:
    whole = Block(torch.ones(40, 3))
    assert len(tiles.above(whole, whole, 3.0, most=780)) == 780
    with pytest.raises(TooManyPairsError) as raised:
        tiles.above(whole, whole, 3.0, most=779)
    assert 779 < raised.value.count <= 780


@all_tiles
@pytest.mark.parametrize("width", [3, 127, 128, 300])
def test_float64_products_of_float16_vectors_are_exact(tiles, width) -> None:
    left = Block(difficult("random", 30, width, torch.float16, 8), 2**33)
    right = Block(difficult("random", 50, width, torch.float16, 9), 2**34)
    pairs = torch.cartesian_prod(torch.arange(30), torch.arange(50))[torch.randperm(1500)[:201]]
    products = tiles.measure(pairs + torch.tensor([left.start, right.start]), left, right)
    rows = zip(left.vectors[pairs[:, 0]].tolist(), right.vectors[pairs[:, 1]].tolist(), strict=True)
    assert products.tolist() == [math.fsum(x * y for x, y in zip(*both, strict=True)) for both in rows]


@all_tiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_float64_products_of_other_vectors_are_close(tiles, dtype) -> None:
    whole = Block(100 * difficult("random", 30, 77, dtype, 8))
    pairs = torch.triu_indices(30, 30).T
    exact = (whole.vectors.double() @ whole.vectors.double().T)[pairs[:, 0], pairs[:, 1]]
    torch.testing.assert_close(tiles.measure(pairs, whole, whole), exact, rtol=0, atol=1e-10)
    assert tiles.measure(pairs[:0], whole, whole).shape == (0,)


@all_tiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_device_that_holds_its_bound_passes_the_check(tiles, dtype) -> None:
    vectors = difficult("random", 100, 40, dtype, 3)
    assert holds(tiles, vectors, gamma(80), rows=64, tries=5)


def test_device_that_rounds_too_much_fails_the_check() -> None:
    class Rounding(TorchTiles):
        """A device that multiplies float32 in a shorter type."""

        def above(self, left: Block, right: Block, lowest: float, most: int | None = None) -> Tensor:
            return super().above(*(Block(b.vectors.bfloat16().float(), b.start) for b in (left, right)), lowest, most)

    vectors = difficult("random", 256, 40, torch.float32, 3)
    assert not holds(Rounding(), vectors, gamma(80))


def test_every_device_has_tiles() -> None:
    assert isinstance(tiles_for(torch.device("cpu")), TorchTiles)
    assert isinstance(tiles_for(torch.device("mps")), TorchTiles)
