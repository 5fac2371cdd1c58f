"""Three ways to bring test images into the graph. Only the inductive one says what a new image would get."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import MemoryVectors, Rows
from miner.refine.graph.graph import Graph, attach, from_neighbours, random_neighbours, reverse
from miner.refine.graph.neighbours import message_weights, nearest_lists
from miner.refine.network.fit import Nodes
from miner.refine.options import RefineOptions

Mode = Literal["inductive", "transductive", "as-code"]


@dataclass(frozen=True)
class ModeGraphs:
    """What a mode trains on and what it reads features from.

    Attributes:
        fitted: the graph that a network is trained on: of the training images alone, or of all.
        read: all images, training images first.
    """

    fitted: Graph
    read: Graph


def mode_graphs(mode: Mode, lists: "Lists", options: RefineOptions) -> ModeGraphs:
    """The graphs of a mode (algorithms of GraphNNCLR, arXiv 2510.22322, and of its released code).

    inductive: a graph of the training images; each test image hears its nearest training images and is heard by none.
    transductive: one symmetric graph of all images; the network is fitted on unlabelled test images as well.
    as-code: every image is heard by the training images that it chose, the direction of the released code: a test image, which
    nobody chose, hears nobody, and training images hear test images.
    """
    if mode == "transductive":
        whole = _graph(*lists.joint(), "symmetric", options)
        return ModeGraphs(whole, whole)
    (ids, cosines), (test_ids, test_cosines) = lists.train(), lists.attached()
    if mode == "as-code":
        chosen = from_neighbours(
            np.concatenate([ids, test_ids]),
            message_weights(np.concatenate([cosines, test_cosines]), options.cosine_weights),
        )
        return ModeGraphs(reverse(chosen), reverse(chosen))
    train = _graph(ids, cosines, options.graph, options)
    return ModeGraphs(train, attach(train, test_ids, message_weights(test_cosines, options.cosine_weights)))


@dataclass
class Lists:
    """Neighbour lists of training and test images, each made when it is asked for first.

    Attributes:
        train_vectors, test_vectors: as stored, (n, d) and (m, d).
        k: neighbours per image.
    """

    train_vectors: NDArray[np.floating]
    test_vectors: NDArray[np.floating]
    k: int

    def __post_init__(self) -> None:
        self._made: dict[str, tuple[Rows, NDArray[np.float32]]] = {}
        self._all = MemoryVectors(np.concatenate([self.train_vectors, self.test_vectors]))

    def train(self) -> tuple[Rows, NDArray[np.float32]]:
        """Of the training images among themselves."""
        return self._once("train", MemoryVectors(self.train_vectors))

    def attached(self) -> tuple[Rows, NDArray[np.float32]]:
        """Of the test images among the training images."""
        images = len(self.train_vectors)
        return self._once("attached", self._all, first=images, among=images)

    def joint(self) -> tuple[Rows, NDArray[np.float32]]:
        """Of all among all."""
        return self._once("joint", self._all)

    def _once(
        self, name: str, vectors: MemoryVectors, first: int = 0, among: int | None = None
    ) -> tuple[Rows, NDArray[np.float32]]:
        if name not in self._made:
            self._made[name] = nearest_lists(vectors, self.k, first=first, among=among)
        return self._made[name]


class RandomLists(Lists):
    """As many neighbours, drawn at random: what a graph of equal degree does that knows nothing."""

    def __init__(self, lists: Lists, seed: int) -> None:
        super().__init__(lists.train_vectors, lists.test_vectors, lists.k)
        self.seed = seed

    def _once(
        self, name: str, vectors: MemoryVectors, first: int = 0, among: int | None = None
    ) -> tuple[Rows, NDArray[np.float32]]:
        rows = len(vectors) - first
        ids = random_neighbours(rows, self.k, among or len(vectors), self.seed + first, first=first)
        return ids, np.ones(ids.shape, np.float32)


def nodes_of(features: NDArray[np.float32], graph: Graph) -> Nodes:
    """The first so many features as there are nodes."""
    return Nodes(features[: graph.nodes], graph)


def _graph(
    ids: Rows, cosines: NDArray[np.float32], kind: Literal["symmetric", "directed", "mutual"], options: RefineOptions
) -> Graph:
    return from_neighbours(ids, message_weights(cosines, options.cosine_weights), kind)
