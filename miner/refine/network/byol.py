"""BYOL on graphs: each view of a node predicts what a slow copy of the network makes of the other view."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from miner.learning.negative_cosine import negative_cosine
from miner.learning.networks.heads import mlp
from miner.learning.networks.momentum import move_towards
from miner.learning.parallel.collectives import gather_rows
from miner.learning.randomness import seeded
from miner.learning.unit_rows import l2_normalise, spread
from miner.refine.network.network import GraphNetwork

View = tuple[Tensor, Tensor]


class GraphBYOL(nn.Module):
    """Self-supervision of node features (SelfGNN, Kefato & Girdzijauskas 2021, arXiv 2103.14958; BGRL, Thakoor et al. 2021,
    arXiv 2102.06514), as GraphNNCLR refines its features (arXiv 2510.22322).

    The loss is the mean over nodes of 2 - 2 cos, summed over both directions. The target averages parameters with a constant
    momentum. Projector: two linear layers with a ReLU; predictor: the same with batch normalisation.

    On several processes each projects its part of the seeds; what follows sees the seeds of all, so that statistics and loss are
    those of one process, and gradients are to be averaged.

    Args:
        network: the graph network that is kept.
        momentum: of the target.
        seed: of both heads.
    """

    def __init__(self, network: GraphNetwork, *, momentum: float, seed: int) -> None:
        super().__init__()
        self.network = network
        width = network.width
        with seeded(seed, "graph heads"):
            self.projector = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
            self.predictor = mlp(width, width, width)
        self.target = deepcopy(nn.ModuleList([self.network, self.projector])).requires_grad_(False)
        self.momentum = momentum

    def forward(self, one: View, two: View, seeds: int) -> dict[str, Tensor]:
        """One step: the target follows the last update, then the loss is taken.

        Args:
            one, two: features float32 (n, width) and adjacency of each view; the nodes may differ but for the first.
            seeds: how many nodes, the first of both views, are predicted.
        Returns:
            "loss" with its graph and "spread" without, float32 scalars.
        """
        online = [*self.network.parameters(), *self.projector.parameters()]
        move_towards(self.target, online, self.momentum)
        projections = [gather_rows(self.projector(self.network(*view)[:seeds])) for view in (one, two)]
        predictions = [self.predictor(projection) for projection in projections]
        with torch.no_grad():
            slow_network, slow_projector = self.target
            targets = [gather_rows(slow_projector(slow_network(*view)[:seeds])) for view in (one, two)]
        cosines = -negative_cosine(predictions[0], targets[1]) - negative_cosine(predictions[1], targets[0])
        return {"loss": 4 - 2 * cosines, "spread": spread(l2_normalise(projections[0].detach()))}
