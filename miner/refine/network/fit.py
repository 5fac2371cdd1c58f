"""Training of a graph network by BYOL: all nodes at once, or batches of nodes with sampled neighbours."""

import math
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from miner.artifacts.embeddings.vectors import Rows
from miner.engine import Progress
from miner.errors import MinerError, UsageError
from miner.learning.checkpoint import load_checkpoint, save_checkpoint
from miner.learning.networks.heads import mlp
from miner.learning.networks.momentum import move_towards
from miner.learning.parallel.collectives import average_in_place, gather_rows, rank, world_size
from miner.learning.randomness import derived_seed, generator_for, seeded
from miner.learning.unit_rows import l2_normalise, negative_cosine, spread
from miner.refine.graph.adjacency import adjacency, normalised
from miner.refine.graph.graph import drop_edges
from miner.refine.graph.sampling import sampled_block
from miner.refine.network.network import GraphNetwork, Nodes
from miner.refine.options import RefineOptions
from miner.text import counted

View = tuple[Tensor, Tensor]
_CHECKPOINT_INTERVAL_S = 30.0


class GraphBYOL(nn.Module):
    """Self-supervision of node features (SelfGNN, Kefato & Girdzijauskas 2021, arXiv 2103.14958; BGRL, Thakoor et al. 2021,
    arXiv 2102.06514), as GraphNNCLR refines its features (arXiv 2510.22322).

    The loss is the mean over nodes of 2 - 2 cos, summed over both directions. The target averages parameters with a constant
    momentum. Projector: two linear layers with a ReLU; predictor: the same with batch normalisation.

    On several processes, each process projects its part of the seeds, and the projections of all are gathered. Statistics and
    loss are then those of one process, and gradients have to be averaged.

    Args:
        network: that is trained and kept.
        momentum: the momentum of the target, per step.
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


def fit(
    network: GraphNetwork,
    first: Nodes,
    second: Nodes,
    options: RefineOptions,
    *,
    batch_size: int,
    device: torch.device,
    checkpoint: Path,
    checkpoint_steps: int = 1 << 30,
) -> dict[str, float]:
    """Train a network without labels, from the checkpoint if there is one.

    On several processes the seeds of a step are split, and each process takes the receptive field of its seeds. Rank 0 writes
    the checkpoints; all processes read them.

    Args:
        network: trained in place.
        first, second: two views of the same n images.
        batch_size: n for all at once.
        checkpoint: a file that is written every half minute, and after every `checkpoint_steps`.
    Returns:
        "loss" and "spread" of the last step.
    Raises:
        MinerError: the loss is not finite.
        UsageError: a step has fewer images than there are processes.
    """
    model = GraphBYOL(network, momentum=options.momentum, seed=options.seed).to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=options.lr)
    nodes = len(first.features)
    per_epoch = math.ceil(nodes / batch_size)
    if nodes // per_epoch < world_size():
        raise UsageError(
            f"A step of {nodes // per_epoch} images is too little for {counted(world_size(), 'process')}. Use fewer."
        )
    steps = options.epochs * per_epoch
    done = load_checkpoint(checkpoint, model, optimizer)
    views = [
        _ViewMaker(side, view, network.conv, options, batch_size, device) for side, view in enumerate((first, second))
    ]
    outcome: dict[str, Any] = {}
    saved_at = time.monotonic()
    with Progress("refine", options.epochs * nodes, "images", done * nodes // per_epoch) as progress:
        for step in range(done, steps):
            epoch, position = divmod(step, per_epoch)
            seeds = _own_part(_batches(nodes, per_epoch, options.seed, epoch)[position])
            outcome = model(*(view.at(epoch, step, seeds) for view in views), seeds=len(seeds))
            optimizer.zero_grad()
            outcome["loss"].backward()
            average_in_place(p.grad for p in trained if p.grad is not None)
            optimizer.step()
            due = (step + 1) % checkpoint_steps == 0 or time.monotonic() - saved_at > _CHECKPOINT_INTERVAL_S
            if due and step + 1 < steps and rank() == 0:
                _finite(outcome["loss"], options)
                save_checkpoint(checkpoint, step + 1, model, optimizer)
                saved_at = time.monotonic()
            progress.advance(len(seeds) * world_size())
    _finite(outcome["loss"], options)
    return {name: value.item() for name, value in outcome.items()}


class _ViewMaker:
    """Makes one of the two views: other features are masked at every step, other edges are dropped at every epoch."""

    def __init__(
        self, side: int, nodes: Nodes, conv: str, options: RefineOptions, batch_size: int, device: torch.device
    ) -> None:
        self.side, self.nodes, self.conv, self.options, self.device = side, nodes, conv, options, device
        of_all = batch_size >= nodes.graph.nodes
        self.whole = of_all and world_size() == 1
        self.fanout = None if of_all else options.fanout
        features = torch.from_numpy(nodes.features)
        self.features = features.to(device) if self.whole else features
        self.epoch = -1

    def at(self, epoch: int, step: int, seeds: Rows) -> View:
        if epoch != self.epoch:
            drop = derived_seed(self.options.seed, "edges", self.side, epoch)
            self.graph = normalised(drop_edges(self.nodes.graph, self.options.edge_drop, drop), self.conv)
            self.epoch = epoch
            if self.whole:
                self.adjacency = adjacency(self.graph, self.conv, self.device)
        if self.whole:
            return self._masked(self.features, step), self.adjacency
        step_seed = derived_seed(self.options.seed, "neighbours", self.side, step)
        block, rows = sampled_block(self.graph, seeds, self.options.layers, self.fanout, step_seed)
        features = self.features[torch.from_numpy(rows)].to(self.device)
        return self._masked(features, step), adjacency(block, self.conv, self.device)

    def _masked(self, features: Tensor, step: int) -> Tensor:
        generator = generator_for(self.options.seed, "features", self.side, step)
        keep = torch.rand(features.shape[1], generator=generator) >= self.options.feature_mask
        return features * keep.to(features)


def _batches(nodes: int, count: int, seed: int, epoch: int) -> list[Rows]:
    """The seed nodes of each step of an epoch; all in order where a step is an epoch."""
    if count == 1:
        return [np.arange(nodes)]
    order = np.random.default_rng(derived_seed(seed, "epoch", epoch)).permutation(nodes)
    return np.array_split(order, count)


def _own_part(seeds: Rows) -> Rows:
    """This process's share of the seeds of a step; all shares have the same size."""
    share = len(seeds) // world_size()
    return seeds[rank() * share :][:share]


def _finite(loss: Tensor, options: RefineOptions) -> None:
    if not math.isfinite(loss.item()):
        raise MinerError(f"The loss of the graph network is not finite any more. Lower --lr (it is {options.lr:g}).")
