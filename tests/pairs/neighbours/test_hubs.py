import numpy as np

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.pairs.neighbours.graph import NeighbourGraph
from miner.pairs.neighbours.hubs import hubness, in_degrees


def test_in_degrees_and_hubs_by_hand() -> None:
    ids = np.array([[1, 2], [2, 0], [1, 0], [2, 1]])
    degrees = in_degrees(ids)
    assert degrees.tolist() == [2, 3, 3, 0]
    record = hubness(degrees, 2, ["a", "b", "c", "d"])
    assert record["antihubs"] == 0.25
    assert record["in_degree"] == {"max": 3, "lists": [0, 2, 3], "images": [1, 1, 2]}
    assert [(hub["row"], hub["key"], hub["in_degree"]) for hub in record["hubs"]][:2] == [(1, "b", 3), (2, "c", 3)]


def test_hubs_grow_with_the_dimension() -> None:
    """The finding of Radovanovic et al.: the in-degrees of independent directions get skewed as dimensions are added."""
    found = []
    for dim in (3, 100):
        vectors = np.random.default_rng(0).normal(size=(1500, dim)).astype(np.float32)
        vectors += 1  # away from the origin, so that some vectors are nearer to the mean than others
        units = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        ids, _ = NeighbourGraph(MemoryVectors(units), 10).nearest(0, len(units))
        found.append(hubness(in_degrees(ids), 10, [str(row) for row in range(len(units))]))
    assert found[0]["skewness"] < 1 < found[1]["skewness"]
    assert found[0]["antihubs"] < found[1]["antihubs"]
