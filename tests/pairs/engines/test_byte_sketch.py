import numpy as np
import pytest
import torch

from miner.pairs.engines import byte_sketch
from miner.pairs.engines.byte_sketch import ByteSketch, byte_projection, multiplies_bytes
from miner.pairs.engines.cost_model import Costs, best_cascade
from miner.pairs.engines.sketch import principal_directions
from tests.pairs.vectors import adversarial, clustered

pytestmark = pytest.mark.skipif(not multiplies_bytes(), reason="this torch has no product of bytes")


def sketch_of(units: torch.Tensor, width: int, sample: int) -> ByteSketch:
    """Made as the search makes it: by blocks, with the directions and steps of a sample."""
    projection = byte_projection(units[:sample], principal_directions(units[:sample], width))
    blocks = [projection.block(part) for part in units.split(150)]
    return projection.sketch(torch.cat([block.vectors for block in blocks]), blocks)


def passing(made: ByteSketch, floors: np.ndarray) -> torch.Tensor:
    scores, lowest = made.scores(slice(None), slice(None)), torch.from_numpy(made.lowest_score(floors))
    assert scores.dtype == torch.uint8
    return (scores >= lowest[:, None]) | (scores >= lowest)


@pytest.mark.parametrize("kind", ["clustered", "duplicates", "cluster", "residual", "low rank"])
@pytest.mark.parametrize(("width", "sample"), [(1, 400), (8, 400), (80, 400), (8, 10)])
def test_byte_sketch_keeps_every_pair_that_reaches_a_floor(kind, width, sample) -> None:
    """A sample of 10 rows does not foresee the others, whose bounds do not fit into the numbers of a form."""
    vectors = clustered(400, 96) if kind == "clustered" else adversarial(kind, 400, 96, "float32", 0)
    units = torch.nn.functional.normalize(torch.from_numpy(vectors.astype(np.float32)), dim=1)
    made = sketch_of(units, width, sample)
    cosines = (units.double() @ units.double().T).numpy()
    assert made.holds(len(units))
    by_row = np.random.default_rng(0).uniform(-0.2, 1, len(units))
    for floors in (np.array([-0.5]), np.array([0.4]), np.array([0.999]), by_row):
        low = np.minimum(*np.broadcast_arrays(floors[:, None], floors))
        assert passing(made, floors).numpy()[cosines >= low].all()


def test_long_byte_sketch_bounds_closely() -> None:
    units = torch.from_numpy(clustered(2000, 384))
    passed = passing(sketch_of(units, 255, 2000), np.array([0.8])).float().mean()
    reached = (units @ units.T >= 0.8 - 0.12).float().mean()
    assert passed < reached


def test_byte_product_that_is_wrong_is_noticed(monkeypatch) -> None:
    made = sketch_of(torch.from_numpy(clustered(300, 64)), 32, 300)
    assert made.holds()
    multiply = byte_sketch._products
    monkeypatch.setattr(byte_sketch, "_products", lambda *sides: multiply(*sides) // 2)
    assert not made.holds()
    assert not multiplies_bytes.__wrapped__()


def test_faster_byte_sketch_is_chosen() -> None:
    units = torch.from_numpy(clustered(1500, 256))

    def count(sketch, floors) -> int:
        return 2000 if isinstance(sketch, ByteSketch) else int(sketch.vectors.shape[0] ** 2)

    cascade = best_cascade(units, 10**5, np.array([0.8]), torch.float32, Costs(1e-8, 1e-10, 1e-9), count)
    assert cascade is not None and cascade.first.dtype == torch.uint8
    assert cascade.row_bytes(256) > 1.5 * cascade.first.width(256)  # columns are held packed, too
