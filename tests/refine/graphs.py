"""Vectors, graphs and options for tests of graph networks."""

import numpy as np
import torch

from miner.refine.graph.graph import Graph, from_neighbours, random_neighbours
from miner.refine.network.network import Nodes
from miner.refine.options import RefineOptions

CPU = torch.device("cpu")
CONVS = ["gcn", "sage", "gin", "gat"]


def clusters(count: int, seed: int) -> np.ndarray:
    """Unit rows around four directions of twelve."""
    rng = np.random.default_rng(seed)
    rows = np.eye(12)[rng.integers(0, 4, count)] + 0.3 * rng.normal(size=(count, 12))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_nodes(count: int = 40, k: int = 4, width: int = 6, kind: str = "symmetric") -> Nodes:
    """Random features, and k random neighbours of each node with random weights."""
    ids = random_neighbours(count, k, count, seed=0)
    rng = np.random.default_rng(1)
    graph = from_neighbours(ids, rng.uniform(0.1, 1, ids.shape).astype(np.float32), kind)
    return Nodes(rng.normal(size=(count, width)).astype(np.float32), graph)


def options(**changes: object) -> RefineOptions:
    """A small network and a short training."""
    return RefineOptions.parse({"dim": 8, "epochs": 4, "lr": 0.01, **changes})


def senders(graph: Graph) -> dict[int, list[int]]:
    """The nodes that each node receives from."""
    return {node: graph.sources[graph.starts[node] : graph.starts[node + 1]].tolist() for node in range(graph.nodes)}
