"""The float32 product of rows, against float64."""

import numpy as np
import pytest
import torch

from miner.pairs.arithmetic import products
from miner.pairs.arithmetic.products import product
from miner.pairs.engines.sketch import gamma
from tests.pairs.vectors import clustered


@pytest.mark.parametrize(("rows", "others", "dim"), [(50, 33, 300), (1, 7, 1), (0, 5, 4), (5, 0, 4)])
@pytest.mark.parametrize("onednn", [True, False])
def test_product_is_within_its_rounding_error(monkeypatch, rows, others, dim, onednn) -> None:
    if not onednn:
        monkeypatch.setattr(products, "_has_onednn", lambda: False)
    left, right = (
        torch.randn(rows, 2 * dim)[:, :dim],
        torch.randn(dim, others).T,
    )  # as parts of larger arrays lie in memory
    exact = left.double() @ right.double().T
    error = (product(left, right).double() - exact).abs()
    assert product(left, right).dtype == torch.float32
    assert (error <= gamma(dim) * (left.abs().double() @ right.abs().double().T)).all()


def test_product_of_unit_rows_keeps_the_margin_of_the_engines() -> None:
    from miner.pairs.arithmetic.cosine import float32_margin, unit_rows

    rows = torch.from_numpy(unit_rows(clustered(300, 200).astype(np.float16)))
    assert (product(rows, rows).double() - rows.double() @ rows.double().T).abs().max() <= float32_margin(200)
