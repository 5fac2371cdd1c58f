"""Each evaluation mode on five images that can be checked by hand: 0, 1, 2 train, 3 and 4 test."""

import numpy as np
import pytest

from miner.refine.comparison.controls import GRAPH_ARMS, arm_features
from miner.refine.graph.graph import Graph, edgeless, from_neighbours
from miner.refine.graph.smoothing import smooth
from miner.refine.modes.modes import Lists, RandomLists, mode_graphs
from miner.refine.options import RefineOptions
from tests.refine.graphs import clusters, senders

# Directions in degrees: train 0, 10, 50; test 14, 40. Nearest training images: 0 -> 1, 1 -> 0, 2 -> 1; test 3 -> 1, 4 -> 2.
# Among all: 0 -> 1, 1 -> 3, 2 -> 4, 3 -> 1, 4 -> 2.
DEGREES = np.deg2rad([0, 10, 50, 14, 40])
FIVE = np.stack([np.cos(DEGREES), np.sin(DEGREES)], axis=1).astype(np.float32)


def five(**changes: object) -> tuple[Lists, RefineOptions]:
    return Lists(FIVE[:3], FIVE[3:], 1), RefineOptions.parse({"neighbors": 1, **changes})


def test_inductive_trains_on_training_images_and_test_images_only_listen() -> None:
    graphs = mode_graphs("inductive", *five())
    assert senders(graphs.fitted) == {0: [1], 1: [0, 2], 2: [1]}
    assert senders(graphs.read) == {0: [1], 1: [0, 2], 2: [1], 3: [1], 4: [2]}
    directed = mode_graphs("inductive", *five(graph="directed"))
    assert senders(directed.read) == {0: [1], 1: [0], 2: [1], 3: [1], 4: [2]}
    mutual = mode_graphs("inductive", *five(graph="mutual"))
    assert senders(mutual.read) == {0: [1], 1: [0], 2: [], 3: [1], 4: [2]}


def test_transductive_is_one_symmetric_graph_of_all() -> None:
    graphs = mode_graphs("transductive", *five())
    assert senders(graphs.fitted) == senders(graphs.read) == {0: [1], 1: [0, 3], 2: [4], 3: [1], 4: [2]}


def test_as_code_is_heard_by_what_it_chose_so_test_images_hear_nobody() -> None:
    graphs = mode_graphs("as-code", *five())
    assert senders(graphs.fitted) == senders(graphs.read) == {0: [1], 1: [0, 2, 3], 2: [4], 3: [], 4: []}


def test_cosine_weights_are_the_cosines() -> None:
    read = mode_graphs("inductive", *five(cosine_weights=True)).read
    np.testing.assert_allclose(read.weights, np.cos(np.deg2rad([10, 10, 40, 40, 4, 10])), atol=1e-6)


def test_smoothing_written_out() -> None:
    graph = from_neighbours(np.array([[1, 2], [0, 2], [0, 1]]), np.ones((3, 2), np.float32))
    mixed = 0.25 * FIVE[0] + 0.75 * (FIVE[1] + FIVE[2]) / 2
    np.testing.assert_allclose(smooth(FIVE[:3], graph, 0.25, 1)[0], mixed / np.linalg.norm(mixed), atol=1e-6)
    twice = smooth(smooth(FIVE[:3], graph, 0.25, 1), graph, 0.25, 1)
    np.testing.assert_allclose(smooth(FIVE[:3], graph, 0.25, 2), twice, atol=1e-6)


def test_smoothing_leaves_isolated_images_alone() -> None:
    np.testing.assert_allclose(smooth(FIVE, edgeless(5), 0.25, 2), FIVE, atol=1e-6)


@pytest.mark.parametrize(
    "arm", [arm for arm in GRAPH_ARMS if arm.kind != "raw"], ids=lambda arm: f"{arm.name} {arm.mode}"
)
def test_only_inductive_arms_hide_test_images_from_training_images(tmp_path, arm) -> None:
    train = clusters(60, 0)
    options = RefineOptions.parse({"neighbors": 5, "dim": 8, "epochs": 2, "device": "cpu"})

    def of(test: np.ndarray, name: str) -> dict[float, np.ndarray]:
        features = np.concatenate([train, test])
        return arm_features(arm, features, Lists(train, test, 5), options, tmp_path / name)

    one, other = of(clusters(20, 1), "one"), of(clusters(20, 2), "other")
    for key, features in one.items():
        assert features.shape[0] == 80 and np.isfinite(features).all()
        assert np.array_equal(features[:60], other[key][:60]) == (arm.mode == "inductive")
        assert not np.allclose(features[60:], other[key][60:])
    few = of(clusters(20, 1)[:7], "few")  # how many test images there are changes no bit either
    for key, features in few.items():
        assert np.array_equal(features[:60], one[key][:60]) == (arm.mode == "inductive")


def test_random_graph_has_the_degrees_of_the_real_one() -> None:
    train, test = clusters(60, 0), clusters(20, 1)
    options = RefineOptions.parse({"neighbors": 5, "graph": "directed"})
    lists = Lists(train, test, 5)

    def degrees(graph: Graph) -> list[int]:
        return np.diff(graph.starts).tolist()

    real, chance = (mode_graphs("inductive", some, options).read for some in (lists, RandomLists(lists, 0)))
    assert degrees(real) == degrees(chance) == [5] * 80
    assert chance.sources[300:].max() < 60 and senders(real) != senders(chance)
