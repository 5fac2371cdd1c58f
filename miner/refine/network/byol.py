"""BYOL on graphs: each view of a node predicts the output of a momentum copy of the network for the other view."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from miner.learning.networks.heads import mlp
from miner.learning.networks.momentum import move_towards
from miner.learning.parallel.collectives import gather_rows
from miner.learning.randomness import seeded
from miner.learning.unit_rows import l2_normalise, negative_cosine, spread
from miner.refine.network.network import GraphNetwork

View = tuple[Tensor, Tensor]


class GraphBYOL(nn.Module):
    """Self-supervision of node features (SelfGNN, Kefato & Girdzijauskas 2021, arXiv 2103.14958; BGRL, Thakoor et al. 2021,
    arXiv 2102.06514), as GraphNNCLR refines its features (arXiv 2510.22322).

    The loss is the mean over nodes of 2 - 2 cos, summed over both directions. The target averages parameters with a constant
    momentum. Projector: two linear layers with a ReLU; predictor: the same with batch normalisation.

    On several processes, each process projects its part of the seeds, and the projections of all are gathered. Statistics and
    loss are then those of one process, and gradients have to be averaged.

    Args:
        network: that is trained and kept.
        momentum: of the target, per step.
        seed: of projector and predictor.
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
        """Move the target towards the updated network, and take the loss.

        Args:
            one, two: features float32 (n, width) and adjacency of each view; the first `seeds` nodes are the same in both.
            seeds: how many nodes are predicted.
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
