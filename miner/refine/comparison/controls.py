"""The arms of `miner eval graph`: the graph network in three modes, and the simpler controls that it has to beat."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from miner.learning.randomness import derived_seed
from miner.refine.graph.adjacency import smooth
from miner.refine.graph.graph import FeatureRows, edgeless
from miner.refine.modes.modes import (
    GraphMode,
    ModeGraphs,
    RandomTrainTestNeighbours,
    TrainTestNeighbours,
    fit_in_mode,
    mode_graphs,
    read_in_mode,
)
from miner.refine.network.network import make_network
from miner.refine.options import RefineOptions

OWN_SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class GraphArm:
    """A row of the table.

    Attributes:
        mode: how test images join the graph.
        hops: the number of hops of smoothing.
        edges: whether the network receives anything from neighbours.
        by_chance: whether neighbours are drawn at random.
    """

    name: str
    kind: Literal["raw", "smoothing", "network"]
    mode: GraphMode = "inductive"
    hops: int = 0
    trained: bool = True
    edges: bool = True
    by_chance: bool = False


GRAPH_ARMS = (
    GraphArm("raw features", "raw"),
    GraphArm("smoothing, 1 hop", "smoothing", hops=1),
    GraphArm("smoothing, 2 hops", "smoothing", hops=2),
    GraphArm("graph network, untrained", "network", trained=False),
    GraphArm("network without edges", "network", edges=False),
    GraphArm("graph network, random graph", "network", by_chance=True),
    GraphArm("graph network", "network"),
    GraphArm("graph network", "network", mode="transductive"),
    GraphArm("graph network", "network", mode="as-code"),
)


def arm_features(
    arm: GraphArm, features: FeatureRows, lists: TrainTestNeighbours, options: RefineOptions, checkpoint: Path
) -> dict[float, FeatureRows]:
    """Features of all images by an arm, training images first, without labels.

    Args:
        features: unit rows, float32 (n + m, d).
        options: the options of the network, with the seed of this repetition.
        checkpoint: where an interrupted training continues.
    Returns:
        For smoothing, features by the share of the image itself; else one entry.
    """
    if arm.kind == "raw":
        return {1.0: features}
    if arm.by_chance:
        lists = RandomTrainTestNeighbours(lists, derived_seed(options.seed, "random graph"))
    graphs = mode_graphs(arm.mode, lists, options)
    if arm.kind == "smoothing":
        return {own: smooth(features, graphs.read, own, arm.hops) for own in OWN_SHARES}
    return {1.0: _by_network(arm, features, graphs, options, checkpoint)}


def _by_network(
    arm: GraphArm, features: FeatureRows, graphs: ModeGraphs, options: RefineOptions, checkpoint: Path
) -> FeatureRows:
    if not arm.edges:
        graphs = ModeGraphs(edgeless(graphs.fitted.nodes), edgeless(graphs.read.nodes))
    network = make_network(options, features.shape[1], options.conv if arm.edges else "none")
    if arm.trained:
        fit_in_mode(network, features, graphs, options, checkpoint)
    return read_in_mode(network, features, graphs, options)
