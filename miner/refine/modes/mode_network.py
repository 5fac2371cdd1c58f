"""A graph network in one of the modes: fitted without labels, and applied to training and test images."""

from pathlib import Path

import numpy as np

from miner.refine.graph.graph import FeatureRows
from miner.refine.modes.modes import ModeGraphs
from miner.refine.network.encode import encode
from miner.refine.network.fit import fit
from miner.refine.network.network import GraphNetwork
from miner.refine.network.nodes import Nodes, standardised
from miner.refine.network.resources import graph_device, images_per_step
from miner.refine.options import RefineOptions


def fit_in_mode(
    network: GraphNetwork, features: FeatureRows, graphs: ModeGraphs, options: RefineOptions, checkpoint: Path
) -> None:
    """Train a network in place on the graph that a mode trains on.

    Args:
        network: with its starting weights.
        features: unit rows, float32 (n + m, d), training images first.
        graphs: of the mode.
        options: of the training.
        checkpoint: where an interrupted training continues.
    """
    features, device = standardised(features, graphs.fitted.nodes), graph_device(options.device)
    nodes = Nodes(features[: graphs.fitted.nodes], graphs.fitted)
    size = images_per_step(options, graphs.fitted.nodes, features.shape[1], len(graphs.read.sources))
    fit(network, nodes, nodes, options, batch_size=size, device=device, checkpoint=checkpoint)


def read_in_mode(
    network: GraphNetwork, features: FeatureRows, graphs: ModeGraphs, options: RefineOptions
) -> FeatureRows:
    """Features of all images by a trained network: unit rows, float32 (n + m, network.width).

    Args:
        network: as `fit_in_mode` has trained it.
        features: unit rows, float32 (n + m, d), training images first.
        graphs: of the mode.
        options: of the training.
    """
    features, device = standardised(features, graphs.fitted.nodes), graph_device(options.device)
    size = images_per_step(options, graphs.read.nodes, features.shape[1], len(graphs.read.sources))
    whole = encode(network, Nodes(features, graphs.read), batch_size=size, device=device)
    if (count := graphs.fitted.nodes) < graphs.read.nodes:
        # Training images are encoded without the test images, so that test images do not change their rounding either.
        train = encode(network, Nodes(features[:count], graphs.fitted), batch_size=size, device=device)
        whole = np.concatenate([train, whole[count:]])
    return whole
