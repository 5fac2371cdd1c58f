import numpy as np
import torch

from miner.pairs.engines.cost_model import Costs, best_cascade
from miner.pairs.engines.sketch import Sketch
from tests.pairs.vectors import clustered


def test_no_sketch_is_used_where_products_do_not_hold(monkeypatch) -> None:
    units = torch.from_numpy(clustered(500, 64))
    monkeypatch.setattr(Sketch, "holds", lambda self: False)
    assert (
        best_cascade(units, 10**4, np.array([0.9]), torch.bfloat16, Costs(1e-7, 1e-10, 1e-9), lambda sketch, lowest: 0)
        is None
    )
