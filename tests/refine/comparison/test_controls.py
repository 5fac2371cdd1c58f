"""What the features of an arm depend on."""

import numpy as np
import pytest

from miner.refine.comparison.controls import GRAPH_ARMS, arm_features
from miner.refine.modes.modes import TrainTestNeighbours
from miner.refine.options import RefineOptions
from tests.refine.graphs import clusters


@pytest.mark.parametrize(
    "arm", [arm for arm in GRAPH_ARMS if arm.kind != "raw"], ids=lambda arm: f"{arm.name} {arm.mode}"
)
def test_training_images_ignore_test_images_if_inductive(tmp_path, arm) -> None:
    train = clusters(60, 0)
    options = RefineOptions.parse({"neighbors": 5, "dim": 8, "epochs": 2, "device": "cpu"})

    def of(test: np.ndarray, name: str) -> dict[float, np.ndarray]:
        features = np.concatenate([train, test])
        return arm_features(arm, features, TrainTestNeighbours(train, test, 5), options, tmp_path / name)

    one, other = of(clusters(20, 1), "one"), of(clusters(20, 2), "other")
    for key, features in one.items():
        assert features.shape[0] == 80 and np.isfinite(features).all()
        assert np.array_equal(features[:60], other[key][:60]) == (arm.mode == "inductive")
        assert not np.allclose(features[60:], other[key][60:])
    few = of(clusters(20, 1)[:7], "few")  # how many test images there are changes no bit either
    for key, features in few.items():
        assert np.array_equal(features[:60], one[key][:60]) == (arm.mode == "inductive")
