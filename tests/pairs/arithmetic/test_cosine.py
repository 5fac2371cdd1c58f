import numpy as np
import pytest
import torch

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.pairs.arithmetic.cosine import float32_margin, rescore, unit_rows
from tests.pairs.vectors import adversarial


@pytest.mark.parametrize("dim", [2, 64, 1280])
def test_margin_covers_the_float32_error_and_is_not_idle(dim) -> None:
    vectors = adversarial("cluster", 200, dim, "float32", dim)
    units = unit_rows(vectors)
    a, b = np.triu_indices(200, 1)
    true = rescore(MemoryVectors(vectors), a, b)
    error = np.abs((torch.from_numpy(units) @ torch.from_numpy(units).T).numpy()[a, b].astype(np.float64) - true).max()
    assert 0 < error < float32_margin(dim) < 1e-3


def test_float16_sums_do_not_depend_on_their_order() -> None:
    vectors = unit_rows(adversarial("random", 30, 1280, "float32", 1)).astype(np.float16)
    rows = vectors.astype(np.float64)
    forwards = (rows[:10] * rows[10:20]).sum(axis=1)
    backwards = (rows[:10, ::-1].copy() * rows[10:20, ::-1].copy()).sum(axis=1)
    one_by_one = [float(np.cumsum(x * y)[-1]) for x, y in zip(rows[:10], rows[10:20], strict=True)]
    assert forwards.tolist() == backwards.tolist() == one_by_one
