"""Features of a trained graph network, round by round, so that memory does not grow with the number of hops."""

import numpy as np
import torch
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import blocks
from miner.refine.graph.messages import adjacency, weighted
from miner.refine.graph.sampling import sampled_block
from miner.refine.network.fit import Nodes
from miner.refine.network.network import GraphNetwork


@torch.inference_mode()
def encode(
    network: GraphNetwork, conv: str, nodes: Nodes, *, batch_size: int, device: torch.device
) -> NDArray[np.float32]:
    """Unit features of all nodes with every message, float32 (n, network.width).

    Args:
        network: anywhere; it is moved to `device`.
        conv: its convolution.
        nodes: features and graph.
        batch_size: nodes at a time; the features of all are kept on the CPU if that is fewer than there are.
        device: where to compute.
    """
    network.to(device).eval()
    graph = weighted(nodes.graph, conv)
    hidden, rounds = torch.from_numpy(nodes.features), []
    for number in range(len(network.convolutions)):
        if batch_size >= graph.nodes:
            hidden = network.round(number, hidden.to(device), adjacency(graph, conv, device))
        else:
            parts = []
            for start, stop in blocks(graph.nodes, batch_size):
                block, rows = sampled_block(graph, np.arange(start, stop), 1, None, 0)
                near = hidden[torch.from_numpy(rows)].to(device)
                parts.append(network.round(number, near, adjacency(block, conv, device))[: stop - start].cpu())
            hidden = torch.cat(parts)
        rounds.append(hidden)
    refined = torch.nn.functional.normalize(network.jumped(rounds), dim=1)
    return refined.cpu().numpy()
