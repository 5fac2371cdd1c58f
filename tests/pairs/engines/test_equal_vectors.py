"""Equal vectors of different images have the cosine 1, opposite ones -1, whatever rounding does to the quotient."""

import numpy as np
import pytest
import torch

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.engines.exact_gpu import GpuEngine
from miner.pairs.engines.sketch import Projection
from miner.pairs.engines.tiles.pytorch import TorchTiles
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.pairs.mined import row_pairs
from tests.pairs.vectors import band_join, brute_force, listed

HALF = 40
COPIES = [(row, row + HALF) for row in range(HALF)]


def each_twice(dtype: str, sign: int = 1) -> np.ndarray:
    """Rows of which the second half repeats the first; for some the plain quotient is above 1, for others below."""
    rows = np.random.default_rng(1).normal(size=(HALF, 48)).astype(dtype)
    doubles = rows.astype(np.float64)
    squares = (doubles * doubles).sum(axis=1)
    quotients = squares / (np.sqrt(squares) * np.sqrt(squares))
    assert (quotients > 1).any() and (quotients < 1).any()
    return np.concatenate([rows, rows * sign])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("sign", [1, -1])
def test_cosine_of_equal_and_opposite_vectors(dtype, sign) -> None:
    vectors = each_twice(dtype, sign)
    a, b = np.triu_indices(len(vectors), 1)
    cosines = rescore(MemoryVectors(vectors), a, b)
    assert np.abs(cosines).max() == 1 and listed((a[cosines == sign], b[cosines == sign])) == COPIES
    far = np.abs(cosines) < 1
    np.testing.assert_array_equal(cosines[far], brute_force(vectors)[a, b][far])


@pytest.mark.parametrize("engine", ["exact", "faiss", "ivf", "hnsw"])
@pytest.mark.parametrize("low", [0.9, 1.0])
def test_equal_vectors_are_pairs_of_a_band_that_ends_at_1(make_embeddings, engine, low) -> None:
    workspace = make_embeddings(each_twice("float16"))
    graph = {"neighbors": 2} if engine == "exact" else {}
    record = pairs(PairsOptions(min=low, max=1, engine=engine, **graph), workspace).record
    assert (record["pairs"], record["duplicates"]) == (HALF, 0)
    assert row_pairs(workspace) == COPIES
    if graph:
        nearest = np.load(workspace.pairs / "knn_ids.npy")[:, 0]
        np.testing.assert_array_equal(nearest, np.roll(np.arange(2 * HALF), HALF))
        assert np.load(workspace.pairs / "knn_sims.npy").max() == 1


def test_equal_vectors_below_1_and_equal_files_are_duplicates(make_embeddings) -> None:
    below = make_embeddings(each_twice("float16"))
    record = pairs(PairsOptions(min=0.9, max=0.999999), below).record
    assert (record["pairs"], record["duplicates"]) == (0, HALF)
    files = [str(row % HALF).zfill(64) for row in range(2 * HALF)]
    workspace = make_embeddings(each_twice("float16"), name="equal", hashes=files)
    record = pairs(PairsOptions(min=0.9, max=1), workspace).record
    assert (record["pairs"], record["duplicates"]) == (0, HALF)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("sign", [1, -1])
def test_engine_of_the_gpu_proposes_equal_and_opposite_vectors(tmp_path, dtype, sign) -> None:
    vectors = each_twice(dtype, sign)
    engine = GpuEngine(
        MemoryVectors(vectors), sign, torch.device("cpu"), Projection(None, torch.float32), tiles=TorchTiles(64, 100)
    )
    found = band_join(engine, vectors, sign).run(tmp_path)
    assert set(COPIES) <= set(listed(found)) and len(found) == (HALF if sign == 1 else HALF * (2 * HALF - 1))
