"""What a graph network takes: the features of all images, and the graph among them."""

from dataclasses import dataclass

import numpy as np

from miner.refine.graph.graph import FeatureRows, Graph


@dataclass(frozen=True)
class Nodes:
    """One view of all images, before anything is masked.

    Attributes:
        features: float32 (n, width), on the CPU.
        graph: of n nodes, with weights that are not normalised.
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
