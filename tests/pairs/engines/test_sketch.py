from dataclasses import replace

import pytest
import torch

from miner.pairs.engines.sketch import principal_directions
from tests.pairs.vectors import clustered, sketch_of


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("width", [1, 8, 32, 96, None])
def test_sketch_bounds_cosines_and_a_long_one_closely(width, dtype) -> None:
    units = torch.from_numpy(clustered(400, 96))
    basis = None if width is None else principal_directions(units, width)
    made = sketch_of(units, basis, dtype)
    everything = slice(len(units))
    assert made.holds(len(units))
    scores = made.scores(everything, everything).double()
    cosines = units.double() @ units.double().T
    for threshold in (-0.5, 0.0, 0.3, 0.8):
        assert (scores[cosines >= threshold] >= made.lowest_score(threshold)).all()
    excess = scores - cosines
    assert excess.max() < {1: 2.0, 8: 1.2, 32: 0.6}.get(width, 0.05)


def test_product_that_breaks_its_bound_is_noticed() -> None:
    made = sketch_of(torch.from_numpy(clustered(300, 64)), None, torch.float32)
    assert made.holds()
    broken = replace(made, product_error=made.product_error / 1e6)
    assert not broken.holds()


def test_basis_that_is_not_finite_is_refused() -> None:
    units = torch.from_numpy(clustered(50, 16))
    with pytest.raises(ValueError, match="finite"):
        sketch_of(units, torch.full((16, 4), float("nan")), torch.bfloat16)
