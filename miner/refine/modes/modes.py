"""Three ways to bring test images into the graph, and networks in them. Only the inductive one shows what a new image would get."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import MemoryVectors, Rows, Vectors, blocks
from miner.engine import Progress
from miner.errors import UsageError
from miner.pairs.neighbours.graph import NeighbourGraph
from miner.refine.graph.graph import (
    FeatureRows,
    Graph,
    GraphKind,
    Weights,
    attach,
    edge_weights,
    from_neighbours,
    random_neighbours,
    reverse,
)
from miner.refine.network.fit import fit
from miner.refine.network.network import GraphNetwork, Nodes, encode, standardised
from miner.refine.network.resources import graph_device, images_per_step
from miner.refine.options import RefineOptions

_BLOCK_ROWS = 4096
GraphMode = Literal["inductive", "transductive", "as-code"]


@dataclass(frozen=True)
class ModeGraphs:
    """The two graphs of a mode.

    Attributes:
        fitted: the graph that a network is trained on: of the training images alone, or of all images.
        read: the graph that features are computed on: all images, training images first.
    """

    fitted: Graph
    read: Graph


def mode_graphs(mode: GraphMode, lists: "TrainTestNeighbours", options: RefineOptions) -> ModeGraphs:
    """The graphs of a mode (algorithms of GraphNNCLR, arXiv 2510.22322, and of its released code).

    inductive: a graph of the training images; each test image receives from its nearest training images and sends to none.
    transductive: one symmetric graph of all images; the network is fitted on unlabelled test images as well.
    as-code: every image sends to its nearest training images, as in the released code. So training images receive from test
    images, and no test image receives anything.
    """
    if mode == "transductive":
        whole = _graph(*lists.joint(), "symmetric", options)
        return ModeGraphs(whole, whole)
    (ids, cosines), (test_ids, test_cosines) = lists.train(), lists.attached()
    if mode == "as-code":
        chosen = _graph(np.concatenate([ids, test_ids]), np.concatenate([cosines, test_cosines]), "directed", options)
        return ModeGraphs(reverse(chosen), reverse(chosen))
    train = _graph(ids, cosines, options.graph, options)
    return ModeGraphs(train, attach(train, test_ids, edge_weights(test_cosines, options.cosine_weights)))


@dataclass
class TrainTestNeighbours:
    """Neighbour lists of training and test images; each kind is searched once, when it is first needed.

    Attributes:
        train_vectors, test_vectors: as stored, (n, d) and (m, d).
        k: neighbours per image.
    """

    train_vectors: NDArray[np.floating]
    test_vectors: NDArray[np.floating]
    k: int

    def __post_init__(self) -> None:
        self._made: dict[str, tuple[Rows, Weights]] = {}
        self._all = MemoryVectors(np.concatenate([self.train_vectors, self.test_vectors]))

    def train(self) -> tuple[Rows, Weights]:
        """The neighbours of training images among training images."""
        return self._once("train", MemoryVectors(self.train_vectors))

    def attached(self) -> tuple[Rows, Weights]:
        """The neighbours of test images among training images."""
        images = len(self.train_vectors)
        return self._once("attached", self._all, images, images)

    def joint(self) -> tuple[Rows, Weights]:
        """The neighbours of all images among all images."""
        return self._once("joint", self._all)

    def _once(
        self, name: str, vectors: MemoryVectors, first_row: int = 0, gallery_rows: int | None = None
    ) -> tuple[Rows, Weights]:
        if name not in self._made:
            self._made[name] = nearest_lists(vectors, self.k, first_row=first_row, gallery_rows=gallery_rows)
        return self._made[name]


class RandomTrainTestNeighbours(TrainTestNeighbours):
    """As many neighbours, drawn at random: the control for a graph that has the same degrees."""

    def __init__(self, lists: TrainTestNeighbours, seed: int) -> None:
        super().__init__(lists.train_vectors, lists.test_vectors, lists.k)
        self.seed = seed

    def _once(
        self, name: str, vectors: MemoryVectors, first_row: int = 0, gallery_rows: int | None = None
    ) -> tuple[Rows, Weights]:
        rows, gallery_rows = len(vectors) - first_row, gallery_rows or len(vectors)
        ids = random_neighbours(rows, self.k, gallery_rows, self.seed + first_row, first_row=first_row)
        return ids, np.ones(ids.shape, np.float32)


def nearest_lists(
    vectors: Vectors, k: int, *, first_row: int = 0, gallery_rows: int | None = None
) -> tuple[Rows, Weights]:
    """The k other rows most similar to each row, by the cosine of the stored vectors, ties by row number.

    Args:
        vectors: the vectors as stored, n rows.
        k: neighbours per row.
        first_row: rows before this one get no list.
        gallery_rows: only the first so many rows can be neighbours; all, if not given.
    Returns:
        int64 (n - first_row, k) and cosines float32 (n - first_row, k).
    Raises:
        UsageError: there are not so many other rows.
    """
    itself = gallery_rows is None or first_row < gallery_rows
    others = (len(vectors) if gallery_rows is None else gallery_rows) - itself
    if k > others:
        raise UsageError(f"--neighbors {k}: there are only {others} other images.")
    search = NeighbourGraph(vectors, k, gallery_rows)
    ids = np.empty((len(vectors) - first_row, k), np.int64)
    cosines = np.empty(ids.shape, np.float32)
    with Progress("neighbours", len(ids), "images") as progress:
        for start, stop in blocks(len(ids), _BLOCK_ROWS):
            ids[start:stop], cosines[start:stop] = search.nearest(first_row + start, first_row + stop)
            progress.advance(stop - start)
    return ids, cosines


def _graph(ids: Rows, cosines: Weights, kind: GraphKind, options: RefineOptions) -> Graph:
    return from_neighbours(ids, edge_weights(cosines, options.cosine_weights), kind)


def fit_in_mode(
    network: GraphNetwork, features: FeatureRows, graphs: ModeGraphs, options: RefineOptions, checkpoint: Path
) -> None:
    """Train a network in place on the graph that a mode trains on, from the checkpoint if there is one.

    Args:
        features: unit rows, float32 (n + m, d), training images first.
    """
    features, device = standardised(features, graphs.fitted.nodes), graph_device(options.device)
    nodes = Nodes(features[: graphs.fitted.nodes], graphs.fitted)
    size = images_per_step(options, graphs.fitted.nodes, features.shape[1], len(graphs.read.sources))
    fit(network, nodes, nodes, options, batch_size=size, device=device, checkpoint=checkpoint)


def read_in_mode(
    network: GraphNetwork, features: FeatureRows, graphs: ModeGraphs, options: RefineOptions
) -> FeatureRows:
    """Features of all images by a trained network: unit rows, float32 (n + m, network.width); arguments as of `fit_in_mode`."""
    features, device = standardised(features, graphs.fitted.nodes), graph_device(options.device)
    size = images_per_step(options, graphs.read.nodes, features.shape[1], len(graphs.read.sources))
    whole = encode(network, Nodes(features, graphs.read), batch_size=size, device=device)
    if (count := graphs.fitted.nodes) < graphs.read.nodes:
        # Training images are encoded without the test images, so that test images do not change their rounding either.
        train = encode(network, Nodes(features[:count], graphs.fitted), batch_size=size, device=device)
        whole = np.concatenate([train, whole[count:]])
    return whole
