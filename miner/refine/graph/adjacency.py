"""Edge weights normalised for a convolution, the adjacency matrix, and smoothing with it.

Weights are normalised once in the whole graph, so that a sampled part of the graph has the weights of the whole.
"""

import warnings

import numpy as np
import torch
from torch import Tensor

from miner.refine.graph.graph import FeatureRows, Graph, Weights, from_edges


def normalised(graph: Graph, conv: str) -> Graph:
    """The graph with the edge weights that a convolution sums with.

    gcn: D^-1/2 (A + I) D^-1/2, D of the incoming weights (Kipf & Welling 2017, arXiv 1609.02907, eq. 2). sage: the weighted mean,
    D^-1 A (Hamilton et al. 2017, arXiv 1706.02216). gin: A (Xu et al. 2019, arXiv 1810.00826). gat learns its own weights and
    gets A.

    Args:
        graph: with weights of at least 0, and without edges from a node to itself.
        conv: gcn, sage, gin or gat; `none` for a network without edges.
    """
    if conv in ("gin", "gat", "none"):
        return graph
    incoming = np.bincount(graph.targets, graph.weights, graph.nodes).astype(np.float32)
    if conv == "sage":
        share: Weights = (graph.weights / incoming.clip(1e-12)[graph.targets]).astype(np.float32)
        return Graph(graph.starts, graph.sources, share)
    nodes = np.arange(graph.nodes)
    looped = from_edges(
        graph.nodes,
        np.concatenate([graph.targets, nodes]),
        np.concatenate([graph.sources, nodes]),
        np.concatenate([graph.weights, np.ones(graph.nodes, np.float32)]),
    )
    scale: Weights = (1 / np.sqrt(incoming + 1)).astype(np.float32)
    return Graph(looped.starts, looped.sources, looped.weights * scale[looped.targets] * scale[looped.sources])


def adjacency(graph: Graph, conv: str, device: torch.device) -> Tensor:
    """The edges as the convolutions of torch_geometric take them.

    Returns:
        gat: int64 (2, edges), source above target. Others: a sparse CSR matrix, float32 (n, n), row t holding what node t
        receives; a product with it copies no feature per edge.
    """
    if conv == "gat":
        return torch.from_numpy(np.stack([graph.sources, graph.targets])).to(device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says on first use that CSR is in beta
        return torch.sparse_csr_tensor(
            torch.from_numpy(graph.starts),
            torch.from_numpy(graph.sources),
            torch.from_numpy(graph.weights),
            (graph.nodes, graph.nodes),
            check_invariants=False,
        ).to(device)


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
