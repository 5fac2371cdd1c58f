import time

import numpy as np
import pytest
import torch

from miner.pairs.engines.cost_model import DENSE_SHARE, Costs, best_cascade
from miner.pairs.engines.sketch import Sketch
from tests.pairs.vectors import clustered


def test_no_sketch_is_used_where_products_do_not_hold(monkeypatch) -> None:
    units = torch.from_numpy(clustered(500, 64))
    monkeypatch.setattr(Sketch, "holds", lambda self: False)
    assert (
        best_cascade(units, 10**4, np.array([0.9]), torch.bfloat16, Costs(1e-7, 1e-10, 1e-9), lambda sketch, lowest: 0)
        is None
    )


def test_first_pass_leaves_few_enough_candidates() -> None:
    """A tile with more candidates is multiplied in float32 whatever its first pass found, so that this pass was in vain."""
    units = torch.from_numpy(clustered(500, 512))

    def candidates(sketch: Sketch, floor: np.ndarray) -> int:
        short = sketch.vectors.shape[1] <= 256
        return int((1.5 if short else 0.5) * DENSE_SHARE * len(sketch.vectors) ** 2)

    cascade = best_cascade(units, 10**5, np.array([0.5]), torch.float32, Costs(1e-13, 1e-16, 1e-9), candidates)
    assert cascade is not None and cascade.first.width(512) > 256


@pytest.mark.parametrize(("candidate_s", "longer"), [(1e-13, False), (1e-3, True)])
def test_longer_sketches_are_tried_where_candidates_cost_more(candidate_s, longer) -> None:
    units = torch.from_numpy(clustered(500, 512))
    tried: list[int] = []

    def candidates(sketch: Sketch, floor: np.ndarray) -> int:
        tried.append(sketch.vectors.shape[1])
        until = time.thread_time() + tried[-1] * 1e-6
        while time.thread_time() < until:
            pass
        return 500 + 500**2 // tried[-1]

    best_cascade(units, 10**5, np.array([0.5]), torch.bfloat16, Costs(candidate_s, 0.0, 1e-12), candidates)
    assert (max(tried) > 256) == longer
