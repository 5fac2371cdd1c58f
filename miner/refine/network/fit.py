"""Training of a graph network: all nodes at once, or batches of nodes with sampled neighbours."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.artifacts.embeddings.vectors import Rows
from miner.engine import Progress
from miner.errors import MinerError, UsageError
from miner.learning.checkpoint import load_checkpoint, save_checkpoint
from miner.learning.parallel.collectives import average_in_place, rank, world_size
from miner.learning.randomness import derived_seed, generator_for, seeded
from miner.refine.graph.graph import Graph, drop_edges
from miner.refine.graph.messages import adjacency, weighted
from miner.refine.graph.sampling import sampled_block
from miner.refine.network.byol import GraphBYOL, View
from miner.refine.network.network import GraphNetwork, Jump
from miner.refine.options import RefineOptions

_CHECKPOINT_INTERVAL_S = 30.0


@dataclass(frozen=True)
class Nodes:
    """One view of all images, before anything is hidden.

    Attributes:
        features: float32 (n, width), on the CPU.
        graph: unweighted messages among them.
    """

    features: NDArray[np.float32]
    graph: Graph


def standardised(features: NDArray[np.float32], fitted: int) -> NDArray[np.float32]:
    """Features shifted and divided by one number, so that the first `fitted` have mean 0 and dimensions of variance 1 on average.

    Features of an encoder share a large mean, which would make all projections look alike to begin with.

    Args:
        features: float32 (n, width).
        fitted: how many rows decide the shift and the scale.
    """
    known = features[:fitted]
    scale = np.sqrt(known.var(axis=0).mean())
    centred: NDArray[np.float32] = features - known.mean(axis=0)
    centred /= np.float32(max(scale, 1e-12))
    return centred


def make_network(options: RefineOptions, width: int, conv: str | None = None) -> GraphNetwork:
    """A fresh network with weights from the seed.

    Args:
        width: of the features.
        conv: instead of the one of the options.
    """
    jump: Jump = options.jump
    with seeded(options.seed, "graph network"):
        return GraphNetwork(width, dim=options.dim, layers=options.layers, conv=conv or options.conv, jump=jump)


def fit(
    network: GraphNetwork,
    conv: str,
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

    On several processes the seeds of a step are split; each takes what its seeds need of the graph. Only rank 0 writes checkpoints,
    which all read.

    Args:
        network: trained in place.
        conv: its convolution.
        first, second: two views of the same n images.
        batch_size: n for all at once.
        device: where to compute.
        checkpoint: a file that is kept up to date every half minute, and every `checkpoint_steps`.
    Returns:
        "loss" and "spread" of the last step.
    Raises:
        MinerError: the loss is not finite any more.
        UsageError: a step has fewer images than there are processes.
    """
    model = GraphBYOL(network, momentum=options.momentum, seed=options.seed).to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=options.lr)
    nodes = len(first.features)
    per_epoch = math.ceil(nodes / batch_size)
    if nodes // per_epoch < world_size():
        raise UsageError(
            f"A step of {nodes // per_epoch} images is too little for {world_size()} processes. Use fewer."
        )
    steps = options.epochs * per_epoch
    done = load_checkpoint(checkpoint, model, optimizer)
    views = [_Views(number, view, conv, options, batch_size, device) for number, view in enumerate((first, second))]
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


class _Views:
    """Views of the nodes of one side: features hidden anew at every step, edges at every epoch."""

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
            self.graph = weighted(drop_edges(self.nodes.graph, self.options.edge_drop, drop), self.conv)
            self.epoch = epoch
            if self.whole:
                self.adjacency = adjacency(self.graph, self.conv, self.device)
        if self.whole:
            return self._masked(self.features, step), self.adjacency
        draw = derived_seed(self.options.seed, "neighbours", self.side, step)
        block, rows = sampled_block(self.graph, seeds, self.options.layers, self.fanout, draw)
        features = self.features[torch.from_numpy(rows)].to(self.device)
        return self._masked(features, step), adjacency(block, self.conv, self.device)

    def _masked(self, features: Tensor, step: int) -> Tensor:
        draw = generator_for(self.options.seed, "features", self.side, step)
        keep = torch.rand(features.shape[1], generator=draw) >= self.options.feature_mask
        return features * keep.to(features)


def _batches(nodes: int, count: int, seed: int, epoch: int) -> list[Rows]:
    """The seeds of each step of an epoch; all in order where a step is an epoch."""
    if count == 1:
        return [np.arange(nodes)]
    order = np.random.default_rng(derived_seed(seed, "epoch", epoch)).permutation(nodes)
    return np.array_split(order, count)


def _own_part(seeds: Rows) -> Rows:
    """This process's share of the seeds of a step, as many on all processes."""
    share = len(seeds) // world_size()
    return seeds[rank() * share :][:share]


def _finite(loss: Tensor, options: RefineOptions) -> None:
    if not math.isfinite(loss.item()):
        raise MinerError(f"The loss of the graph network is not finite any more. Lower --lr (it is {options.lr:g}).")
