"""Each evaluation mode on five images that can be checked by hand: 0, 1, 2 train, 3 and 4 test."""

import numpy as np

from miner.refine.graph.graph import Graph
from miner.refine.modes.modes import RandomTrainTestNeighbours, TrainTestNeighbours, mode_graphs
from miner.refine.options import RefineOptions
from tests.refine.graphs import clusters, senders

# Directions in degrees: train 0, 10, 50; test 14, 40. Nearest training images: 0 -> 1, 1 -> 0, 2 -> 1; test 3 -> 1, 4 -> 2.
# Among all: 0 -> 1, 1 -> 3, 2 -> 4, 3 -> 1, 4 -> 2.
DEGREES = np.deg2rad([0, 10, 50, 14, 40])
FIVE = np.stack([np.cos(DEGREES), np.sin(DEGREES)], axis=1).astype(np.float32)


def five(**changes: object) -> tuple[TrainTestNeighbours, RefineOptions]:
    return TrainTestNeighbours(FIVE[:3], FIVE[3:], 1), RefineOptions.parse({"neighbors": 1, **changes})


def test_inductive_test_images_receive_and_never_send() -> None:
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


def test_as_code_test_images_send_and_never_receive() -> None:
    graphs = mode_graphs("as-code", *five())
    assert senders(graphs.fitted) == senders(graphs.read) == {0: [1], 1: [0, 2, 3], 2: [4], 3: [], 4: []}


def test_cosine_weights_are_the_cosines() -> None:
    read = mode_graphs("inductive", *five(cosine_weights=True)).read
    np.testing.assert_allclose(read.weights, np.cos(np.deg2rad([10, 10, 40, 40, 4, 10])), atol=1e-6)


def test_random_graph_has_the_degrees_of_the_real_one() -> None:
    train, test = clusters(60, 0), clusters(20, 1)
    options = RefineOptions.parse({"neighbors": 5, "graph": "directed"})
    lists = TrainTestNeighbours(train, test, 5)

    def degrees(graph: Graph) -> list[int]:
        return np.diff(graph.starts).tolist()

    real, chance = (
        mode_graphs("inductive", some, options).read for some in (lists, RandomTrainTestNeighbours(lists, 0))
    )
    assert degrees(real) == degrees(chance) == [5] * 80
    assert chance.sources[300:].max() < 60 and senders(real) != senders(chance)
