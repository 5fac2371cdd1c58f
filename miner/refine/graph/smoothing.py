"""Smoothing without parameters: what a graph gives before anything is learned."""

import numpy as np
import torch

from miner.refine.graph.adjacency import adjacency, normalised
from miner.refine.graph.graph import FeatureRows, Graph

_CPU = torch.device("cpu")


def smooth(features: FeatureRows, graph: Graph, own: float, hops: int) -> FeatureRows:
    """z = norm(own x + (1 - own) weighted mean of the x that a node receives), `hops` times; isolated nodes stay as they are.

    After SGC (Wu et al. 2019, arXiv 1902.07153), with a share of the node itself.

    Args:
        features: unit rows, float32 (n, d).
        graph: n nodes.
        own: in [0, 1].
    Returns:
        Unit rows, float32 (n, d).
    """
    means = adjacency(normalised(graph, "sage"), "sage", _CPU)
    receives = torch.from_numpy(np.bincount(graph.targets, graph.weights, graph.nodes) > 0)[:, None]
    smoothed = torch.from_numpy(features)
    for _ in range(hops):
        mixed = torch.where(receives, own * smoothed + (1 - own) * (means @ smoothed), smoothed)
        smoothed = torch.nn.functional.normalize(mixed, dim=1)
    return smoothed.numpy()
