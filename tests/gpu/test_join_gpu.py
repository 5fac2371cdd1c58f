"""The exact join on a GPU against a float64 brute force of the same vectors."""

import numpy as np
import pytest
import torch
from torch import Tensor

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.engines.exact_gpu import GpuEngine
from miner.pairs.engines.sketch import Projection, gamma, principal_directions
from miner.pairs.engines.tiles.base import Block, Tiles, holds
from miner.pairs.engines.tiles.pytorch import TorchTiles, tiles_for
from miner.pairs.neighbours.candidates import ListRule

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

GPU = torch.device("cuda")
DTYPES = [torch.bfloat16, torch.float16, torch.float32]


def clustered(count: int, dim: int, seed: int = 0) -> Tensor:
    """Unit rows on the GPU, float32 (count, dim), in clusters of all widths, with copies."""
    draw = torch.Generator().manual_seed(seed)
    centres = torch.randn(max(count // 50, 1), dim, generator=draw)
    noise = torch.randn(count, dim, generator=draw) * torch.rand(count, 1, generator=draw) * 1.5
    rows = centres[torch.randint(len(centres), (count,), generator=draw)] + noise
    rows[count // 2 : count // 2 + count // 100] = rows[: count // 100]
    return torch.nn.functional.normalize(rows).to(GPU)


def tiles_of_this_gpu() -> list[Tiles]:
    from miner.pairs.engines.tiles.triton import TileShape, TritonTiles

    return [
        tiles_for(GPU),
        TritonTiles(marks_bytes=1 << 16),
        TritonTiles(TileShape(rows=64, columns=32, depth=32, warps=4, stages=2)),
        TorchTiles(500, 3000),
    ]


def keys(pairs: Tensor, count: int) -> Tensor:
    return pairs[:, 0] * count + pairs[:, 1]


def exact_keys(vectors: Tensor, lowest: float, start: int, stop: int) -> Tensor:
    """Of all a < b, a in [start, stop), whose float64 product reaches a value."""
    count = len(vectors)
    found = []
    for top in range(start, stop, 2048):
        products = vectors[top : min(top + 2048, stop)].double() @ vectors.double().T
        pairs = (products >= lowest).nonzero() + torch.tensor([top, 0], device=GPU)
        found.append(keys(pairs[pairs[:, 1] > pairs[:, 0]], count))
    return torch.cat(found)


def check(tiles: Tiles, vectors: Tensor, lowest: float, start: int, stop: int) -> int:
    count = len(vectors)
    error = gamma(2 * vectors.shape[1]) * float(vectors.double().norm(dim=1).max()) ** 2
    whole = Block(vectors)
    pairs = tiles.above(whole.rows(start, stop), whole, lowest)
    found = keys(pairs, count)
    assert bool((found.diff() > 0).all())
    assert bool(torch.isin(exact_keys(vectors, lowest + error, start, stop), found).all())
    assert bool(torch.isin(found, exact_keys(vectors, lowest - error, start, stop)).all())
    assert tiles.above(whole.rows(start, stop), whole, lowest).equal(pairs)
    return len(found)


def test_this_gpu_uses_triton_where_it_can() -> None:
    from miner.pairs.engines.tiles.triton import TritonTiles

    modern = torch.version.cuda is not None and torch.cuda.get_device_capability() >= (8, 0)
    assert isinstance(tiles_for(GPU), TritonTiles if modern else TorchTiles)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tiles_of_20000_rows(dtype: torch.dtype) -> None:
    vectors = clustered(20_000, 512).to(dtype)
    for tiles in tiles_of_this_gpu():
        assert check(tiles, vectors, 0.8, 0, 20_000) > 1000


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 4097])
@pytest.mark.parametrize("width", [2, 33, 64, 127, 128, 200])
def test_tiles_of_every_size(count: int, width: int, dtype: torch.dtype) -> None:
    vectors = clustered(count, width, count + width).to(dtype)
    start, stop = count // 3, count - count // 5
    for tiles in tiles_of_this_gpu():
        check(tiles, vectors, 0.5, start, stop)


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_at_the_bound_count(dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randint(-1, 2, (3000, 96), generator=draw).to(GPU, dtype)  # exact in every type
    for tiles in tiles_of_this_gpu():
        pairs = tiles.above(Block(vectors), Block(vectors), 20.0)
        assert keys(pairs, 3000).equal(exact_keys(vectors, 20.0, 0, 3000)) and len(pairs) > 100


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_keep_to_their_bound(dtype: torch.dtype) -> None:
    for width in (32, 128, 768):
        for tiles in tiles_of_this_gpu():
            assert holds(tiles, clustered(256, width).to(dtype), gamma(2 * width) * 1.02)


def test_blocks_beyond_32_bit_offsets() -> None:
    if torch.cuda.mem_get_info()[0] < 12 << 30:
        pytest.skip("needs 12 GB of GPU memory")
    vectors = torch.zeros(36_000_000, 64, dtype=torch.float16, device=GPU)  # 2.3 G numbers
    vectors[[5, 35_999_999, 20_000_000], 3] = 1
    whole = Block(vectors)
    pairs = tiles_for(GPU).above(whole.rows(0, 200), whole, 0.5)
    assert pairs.tolist() == [[5, 20_000_000], [5, 35_999_999]]
    assert tiles_for(GPU).measure(pairs, whole, whole).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("width", [64, 768, 1000])
def test_float64_products_are_those_of_the_cpu(width: int) -> None:
    vectors = clustered(5000, width).half()
    pairs = torch.randint(5000, (20_000, 2), generator=torch.Generator().manual_seed(1))
    wanted = TorchTiles().measure(pairs, Block(vectors.cpu()), Block(vectors.cpu()))
    for tiles in tiles_of_this_gpu():
        assert tiles.measure(pairs.to(GPU), Block(vectors), Block(vectors)).cpu().equal(wanted)


@pytest.mark.parametrize("stored", ["float16", "float32"])
@pytest.mark.parametrize("threshold", [0.6, 0.9])
def test_engine_finds_what_a_brute_force_finds(stored: str, threshold: float) -> None:
    vectors = clustered(20_000, 512).cpu().numpy().astype(stored)
    units = torch.nn.functional.normalize(torch.from_numpy(vectors).to(GPU).double())
    wanted = exact_keys(units, threshold, 0, 20_000).cpu()
    close = exact_keys(units, threshold - 1e-12, 0, 20_000).cpu()
    planned = GpuEngine(MemoryVectors(vectors), threshold, GPU)
    rows = torch.from_numpy(vectors[:8192]).to(GPU).float()
    directions = principal_directions(torch.nn.functional.normalize(rows), 255)
    for width, dtype in ((63, torch.float16), (127, torch.bfloat16), (255, torch.float32), (None, torch.float16)):
        basis = None if width is None else directions[:, :width].contiguous()
        for engine in (planned, GpuEngine(MemoryVectors(vectors), threshold, GPU, Projection(basis, dtype))):
            strips = [engine.candidates(start, start + 5000, 10**8) for start in range(0, 20_000, 5000)]
            found = torch.cat([torch.from_numpy(a * 20_000 + b) for a, b in strips])
            # A float64 sum in another order may differ in its last bit, so what lies at the bound itself is left out.
            assert bool(torch.isin(wanted, found).all()) or len(close) != len(wanted)
            assert bool(torch.isin(found, close).all())
    assert len(wanted) > 1000


def test_engine_finds_the_pairs_and_cosines_of_the_cpu_engine() -> None:
    from miner.pairs.engines.exact_cpu import ExactEngine  # needs pyarrow, which a bare GPU machine may lack

    vectors = MemoryVectors(clustered(10_000, 256).cpu().numpy().astype(np.float16))
    a, b = ExactEngine(vectors, 0.8).candidates(0, 10_000, 10**8)
    keep = rescore(vectors, a, b) >= 0.8
    found = GpuEngine(vectors, 0.8, GPU).candidates(0, 10_000, 10**8)
    np.testing.assert_array_equal(np.stack(found), np.stack([a[keep], b[keep]]))


@pytest.mark.parametrize("high", [float("inf"), 0.9])
def test_neighbour_lists_are_those_of_the_cpu(high: float) -> None:
    from miner.pairs.neighbours.search import CandidateSearch
    from miner.pairs.neighbours.search_gpu import GpuCandidateSearch
    from tests.pairs.neighbours.lists import lists_of

    rule = ListRule(MemoryVectors(clustered(20_000, 256).cpu().numpy().astype(np.float16)), 10, high)
    on_gpu, on_cpu = (lists_of(search, 8192) for search in (GpuCandidateSearch(rule, GPU), CandidateSearch(rule)))
    for mine, theirs in zip(on_gpu, on_cpu, strict=True):
        np.testing.assert_array_equal(mine, theirs)
