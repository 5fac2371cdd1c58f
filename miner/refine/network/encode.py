"""Features of all images by a trained graph network, layer by layer, so that memory does not grow with the number of hops."""

import numpy as np
import torch

from miner.artifacts.embeddings.vectors import blocks
from miner.refine.graph.adjacency import adjacency, normalised
from miner.refine.graph.graph import FeatureRows
from miner.refine.graph.sampling import sampled_block
from miner.refine.network.network import GraphNetwork
from miner.refine.network.nodes import Nodes


@torch.inference_mode()
def encode(network: GraphNetwork, nodes: Nodes, *, batch_size: int, device: torch.device) -> FeatureRows:
    """Unit features of all nodes, with every edge: float32 (n, network.width).

    Args:
        network: on any device; it is moved to `device`.
        nodes: features and graph.
        batch_size: nodes at a time; the features of all are kept on the CPU if that is fewer than there are.
        device: where to compute.
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
