"""A graph network in one of the modes: fitted without labels, and read out for training and test images."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miner.refine.modes.modes import ModeGraphs, nodes_of
from miner.refine.network.encode import encode
from miner.refine.network.fit import fit, standardised
from miner.refine.network.network import GraphNetwork
from miner.refine.network.plan import choose_batch_size, graph_device
from miner.refine.options import RefineOptions

Features = NDArray[np.float32]


def fit_in_mode(
    network: GraphNetwork, conv: str, features: Features, graphs: ModeGraphs, options: RefineOptions, checkpoint: Path
) -> None:
    """Train a network in place on the graph that a mode trains on.

    Args:
        network: fresh.
        conv: its convolution.
        features: unit rows, float32 (n + m, d), training images first.
        graphs: of the mode.
        options: of the training.
        checkpoint: where training is kept when it is interrupted.
    """
    nodes = nodes_of(standardised(features, graphs.fitted.nodes), graphs.fitted)
    batch_size = _batch_size(features, graphs, graphs.fitted.nodes, options)
    device = graph_device(options.device)
    fit(network, conv, nodes, nodes, options, batch_size=batch_size, device=device, checkpoint=checkpoint)


def read_in_mode(
    network: GraphNetwork, conv: str, features: Features, graphs: ModeGraphs, options: RefineOptions
) -> Features:
    """What a trained network makes of all images: unit rows, float32 (n + m, network.width); arguments as above."""
    features = standardised(features, graphs.fitted.nodes)
    batch_size = _batch_size(features, graphs, graphs.read.nodes, options)
    device = graph_device(options.device)
    whole = encode(network, conv, nodes_of(features, graphs.read), batch_size=batch_size, device=device)
    if (count := graphs.fitted.nodes) < graphs.read.nodes:
        # Training images apart, so that not even rounding tells them of the test images.
        train = encode(network, conv, nodes_of(features, graphs.fitted), batch_size=batch_size, device=device)
        whole = np.concatenate([train, whole[count:]])
    return whole


def _batch_size(features: Features, graphs: ModeGraphs, images: int, options: RefineOptions) -> int:
    return choose_batch_size(options, images, features.shape[1], len(graphs.read.sources))
