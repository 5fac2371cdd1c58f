"""Smoothing without parameters: what a graph gives before anything is learned."""

import numpy as np
import torch
from numpy.typing import NDArray

from miner.refine.graph.graph import Graph
from miner.refine.graph.messages import adjacency, weighted

_CPU = torch.device("cpu")


def smooth(features: NDArray[np.float32], graph: Graph, own: float, hops: int) -> NDArray[np.float32]:
    """z = norm(own x + (1 - own) weighted mean of the x that a node hears), `hops` times; a node that hears nobody stays.

    After SGC (Wu et al. 2019, arXiv 1902.07153), with a share of the node itself.

    Args:
        features: unit rows, float32 (n, d).
        graph: n nodes.
        own: in [0, 1].
    Returns:
        Unit rows, float32 (n, d).
    """
    means = adjacency(weighted(graph, "sage"), "sage", _CPU)
    hears = torch.from_numpy(np.bincount(graph.targets, graph.weights, graph.nodes) > 0)[:, None]
    smoothed = torch.from_numpy(features)
    for _ in range(hops):
        mixed = torch.where(hears, own * smoothed + (1 - own) * (means @ smoothed), smoothed)
        smoothed = torch.nn.functional.normalize(mixed, dim=1)
    return smoothed.numpy()
