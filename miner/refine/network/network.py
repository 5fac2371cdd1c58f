"""The graph network: what it takes, its layers of torch_geometric with jumping knowledge, and the features that it gives."""

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from miner.artifacts.embeddings.vectors import blocks
from miner.errors import UsageError, install_extra
from miner.learning.randomness import seeded
from miner.refine.graph.adjacency import adjacency, normalised
from miner.refine.graph.graph import FeatureRows, Graph
from miner.refine.graph.sampling import sampled_block
from miner.refine.options import RefineOptions

Jump = Literal["last", "max", "concat"]


@dataclass(frozen=True)
class Nodes:
    """One view of all images, before anything is masked.

    Attributes:
        features: float32 (n, width), on the CPU.
        graph: the graph of n nodes, with weights that are not normalised.
    """

    features: FeatureRows
    graph: Graph


def standardised(features: FeatureRows, fitted: int) -> FeatureRows:
    """Features shifted and divided by one number, so that the first `fitted` have mean 0 and dimensions of variance 1 on average.

    The features of an encoder share a large mean, which would make all projections alike at the start of training.

    Args:
        features: float32 (n, width).
        fitted: how many rows decide the shift and the scale.
    """
    known = features[:fitted]
    scale = np.sqrt(known.var(axis=0).mean())
    centred: FeatureRows = features - known.mean(axis=0)
    centred /= np.float32(max(scale, 1e-12))
    return centred


class GraphNetwork(nn.Module):
    """Layers of graph convolutions, with a ReLU between layers.

    Jumping knowledge (Xu et al. 2018, arXiv 1806.03536): the output is that of the last layer, the maximum of all layers, or all
    of them side by side.

    Args:
        width: the width of the input.
        dim: width of each layer.
        conv: gcn, sage, gat or gin; `none` is the control without edges, linear layers.
    """

    def __init__(self, width: int, *, dim: int, layers: int, conv: str, jump: Jump) -> None:
        super().__init__()
        widths = [width, *[dim] * layers]
        self.convolutions = nn.ModuleList(_convolution(conv, *ends) for ends in pairwise(widths))
        self.conv = conv
        self.jump = jump
        self.width = dim * layers if jump == "concat" else dim

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        """Features float32 (n, width) and the `adjacency` of the graph -> float32 (n, self.width)."""
        outputs: list[Tensor] = []
        for number in range(len(self.convolutions)):
            outputs.append(self.layer(number, outputs[-1] if outputs else features, adjacency))
        return self.jumped(outputs)

    def layer(self, number: int, hidden: Tensor, adjacency: Tensor) -> Tensor:
        """Apply one layer to the output of the layer before: float32 (n, before) -> (n, dim)."""
        hidden = F.relu(hidden) if number else hidden
        convolution = self.convolutions[number]
        return convolution(hidden) if self.conv == "none" else convolution(hidden, adjacency)  # type: ignore[no-any-return]

    def jumped(self, outputs: list[Tensor]) -> Tensor:
        """Combine the outputs of all layers as `jump` says: float32 (n, self.width)."""
        if self.jump == "concat":
            return torch.cat(outputs, dim=1)
        return torch.stack(outputs).amax(dim=0) if self.jump == "max" else outputs[-1]


def make_network(options: RefineOptions, width: int, conv: str | None = None) -> GraphNetwork:
    """A fresh network for features of this width, with weights from the seed; `conv` replaces that of the options."""
    with seeded(options.seed, "graph network"):
        return GraphNetwork(width, dim=options.dim, layers=options.layers, conv=conv or options.conv, jump=options.jump)


def _convolution(conv: str, before: int, after: int) -> nn.Module:
    """One layer. The adjacency holds normalised weights, so the layer does not normalise."""
    if conv == "none":
        return nn.Linear(before, after)
    geometric = require_geometric()
    if conv == "gcn":
        return geometric.GCNConv(before, after, normalize=False, add_self_loops=False)  # type: ignore[no-any-return]
    if conv == "sage":
        return geometric.SAGEConv(before, after, aggr="sum")  # type: ignore[no-any-return]
    if conv == "gat":
        return geometric.GATConv(before, after)  # type: ignore[no-any-return]
    update = nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Linear(after, after))
    return geometric.GINConv(update)  # type: ignore[no-any-return]


def require_geometric() -> Any:
    """The layers of torch_geometric.

    Raises:
        UsageError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its use of torch.jit is deprecated
            from torch_geometric import nn as geometric
    except ImportError:
        raise UsageError(
            f"Graph networks need torch_geometric, which is not installed. Install it with: {install_extra('graph')}"
        ) from None
    return geometric


@torch.inference_mode()
def encode(network: GraphNetwork, nodes: Nodes, *, batch_size: int, device: torch.device) -> FeatureRows:
    """Unit features of all nodes, with every edge: float32 (n, network.width).

    Args:
        network: on any device; it is moved to `device`.
        batch_size: nodes at a time; the features of all are kept on the CPU if that is fewer than there are.
    """
    network.to(device).eval()
    graph = normalised(nodes.graph, network.conv)
    hidden, outputs = torch.from_numpy(nodes.features), []
    for number in range(len(network.convolutions)):
        if batch_size >= graph.nodes:
            hidden = network.layer(number, hidden.to(device), adjacency(graph, network.conv, device))
        else:
            parts = []
            for start, stop in blocks(graph.nodes, batch_size):
                block, rows = sampled_block(graph, np.arange(start, stop), 1, None, 0)
                near = hidden[torch.from_numpy(rows)].to(device)
                parts.append(network.layer(number, near, adjacency(block, network.conv, device))[: stop - start].cpu())
            hidden = torch.cat(parts)
        outputs.append(hidden)
    refined = torch.nn.functional.normalize(network.jumped(outputs), dim=1)
    return refined.cpu().numpy()
