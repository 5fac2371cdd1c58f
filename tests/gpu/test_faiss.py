"""The FAISS engine on a GPU against range search on the CPU."""

import numpy as np
import pytest

from miner.pairs.engines.faiss_flat import GPU_NEIGHBOURS, FaissEngine, gpu_index, has_gpu
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.pairs.mined import tables
from tests.pairs.vectors import adversarial, band_join, clustered, listed

pytestmark = pytest.mark.skipif(
    not has_gpu(), reason="needs a CUDA device and the GPU build of FAISS (pip install faiss-gpu)"
)


@pytest.mark.parametrize("kind", ["random", "duplicates", "opposite", "cluster", "low rank"])
@pytest.mark.parametrize("threshold", [-1.0, 0.5, 0.9, 0.99999])
def test_pairs_on_a_gpu_are_those_on_the_cpu(kind, threshold, tmp_path) -> None:
    vectors = adversarial(kind, 700, 64, "float32", 1).astype(np.float64)
    units = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    results = [
        band_join(engine, units, threshold).run(tmp_path / name)
        for name, engine in {
            "gpu": FaissEngine(units, threshold, gpu_index(units, 0)),
            "cpu": FaissEngine(units, threshold),
        }.items()
    ]
    assert listed(results[0]) == listed(results[1])
    np.testing.assert_array_equal(results[0].similarity, results[1].similarity)


def test_rows_with_very_many_partners_are_searched_on_the_cpu(tmp_path) -> None:
    units = clustered(6000, 32)
    degree = (units @ units.T >= 0.2).sum(axis=1)
    assert degree.max() > GPU_NEIGHBOURS > degree.min()
    engines = {"gpu": FaissEngine(units, 0.2, gpu_index(units, 0)), "cpu": FaissEngine(units, 0.2)}
    on_gpu, on_cpu = (band_join(engine, units, 0.2, 10**8).run(tmp_path / name) for name, engine in engines.items())
    assert listed(on_gpu) == listed(on_cpu)
    np.testing.assert_array_equal(on_gpu.similarity, on_cpu.similarity)


def test_run_on_a_gpu_gives_the_bytes_of_a_run_on_the_cpu(make_embeddings) -> None:
    vectors = clustered(2000, 64).astype(np.float16)
    results = []
    for device in ("cuda", "cpu"):
        workspace = make_embeddings(vectors, name=device)
        record = pairs(PairsOptions(min=0.5, max=0.8, engine="faiss", device=device), workspace).record
        results.append((tables(workspace), record["pairs"]))
    assert results[0] == results[1]
    assert results[0][1] > 1000
