"""Products at chosen positions against the whole product in float64."""

import faiss
import numpy as np
import pytest
import torch

from miner.pairs.arithmetic import sampled_products
from miner.pairs.arithmetic.cosine import float32_margin, unit_rows
from miner.pairs.arithmetic.sampled_products import products_at


def positions(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Some rows have no position, some have many."""
    rng = np.random.default_rng(0)
    rows = np.sort(rng.integers(0, 20, count) * 2)
    return rows, rng.integers(0, 30, count)


@pytest.mark.parametrize("dim", [1, 7, 64, 1280])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_lie_within_the_margin(dim, dtype) -> None:
    vectors = torch.from_numpy(unit_rows(np.random.default_rng(1).normal(size=(70, dim)).astype(np.float32))).to(dtype)
    left, right = vectors[:40], vectors[40:]
    rows, columns = positions(300)
    threads = faiss.omp_get_max_threads()
    found = products_at(left, right, rows, columns)
    wanted = (left.double() @ right.double().T).numpy()[rows, columns]
    assert found.dtype == np.empty(0, str(dtype)[6:]).dtype
    assert np.abs(found - wanted).max() <= (float32_margin(dim) if dtype == torch.float32 else 1e-13)
    assert faiss.omp_get_max_threads() == threads
    np.testing.assert_allclose(sampled_products._gathered(left, right, rows, columns), found, atol=float32_margin(dim))


def test_rows_apart_in_memory_and_no_positions() -> None:
    wide = torch.arange(60, dtype=torch.float32).reshape(6, 10)
    rows, columns = np.array([0, 1, 1]), np.array([2, 0, 1])
    found = products_at(wide[:3, :4], wide[3:, 2:6], rows, columns)
    np.testing.assert_array_equal(found, (wide[:3, :4] @ wide[3:, 2:6].T).numpy()[rows, columns])
    assert len(products_at(wide, wide, rows[:0], columns[:0])) == 0
