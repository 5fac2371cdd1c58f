"""A graph as each node's list of the nodes that it receives from, and how nearest neighbours make one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows

GraphKind = Literal["directed", "symmetric", "mutual"]
Weights = NDArray[np.float32]
FeatureRows = NDArray[np.float32]


@dataclass(frozen=True)
class Graph:
    """Directed edges by the node that receives (CSR): node t receives from `sources[starts[t] : starts[t + 1]]`, ascending.

    Attributes:
        starts: int64 (n + 1,).
        sources: int64 (edges,), each at most once per node.
        weights: float32 (edges,).
    """

    starts: Rows
    sources: Rows
    weights: Weights

    @property
    def nodes(self) -> int:
        return len(self.starts) - 1

    @property
    def targets(self) -> Rows:
        """The node that receives along each edge, int64 (edges,)."""
        return np.repeat(np.arange(self.nodes), np.diff(self.starts))

    def at(self, keep: NDArray[np.bool_]) -> "Graph":
        """The same nodes with some of the edges."""
        kept = np.concatenate([[0], np.cumsum(keep)])
        return Graph(kept[self.starts], self.sources[keep], self.weights[keep])


def from_edges(nodes: int, targets: Rows, sources: Rows, weights: Weights, kind: GraphKind = "directed") -> Graph:
    """Build a graph from an edge list. Of equal edges the first counts.

    Args:
        targets, sources: int64 (edges,), in [0, nodes), in any order.
        weights: float32 (edges,).
        kind: `directed` keeps the edges as given, `symmetric` adds every reverse edge, `mutual` keeps reciprocal edges only.
    """
    if kind == "symmetric":
        targets, sources = np.concatenate([targets, sources]), np.concatenate([sources, targets])
        weights = np.concatenate([weights, weights])
    elif kind == "mutual":
        keep = np.isin(targets * nodes + sources, sources * nodes + targets)
        targets, sources, weights = targets[keep], sources[keep], weights[keep]
    keys, first = np.unique(targets * nodes + sources, return_index=True)
    starts = np.searchsorted(keys, np.arange(nodes + 1) * nodes)
    return Graph(starts, sources[first], weights[first])


def from_neighbours(ids: Rows, weights: Weights, kind: GraphKind = "directed", first_node: int = 0) -> Graph:
    """Every node receives from its own nearest neighbours.

    Args:
        ids: int64 (m, k), the neighbours of the nodes first_node, first_node + 1, ...; earlier nodes have none.
        weights: float32 (m, k).
        kind: as `from_edges` takes it.
    """
    nodes = first_node + len(ids)
    targets = np.repeat(np.arange(first_node, nodes), ids.shape[1])
    return from_edges(nodes, targets, ids.ravel(), weights.ravel(), kind)


def edge_weights(cosines: Weights, by_cosine: bool) -> Weights:
    """The cosines, 0 for negative ones; or 1 for every edge."""
    return cosines.clip(0) if by_cosine else np.ones_like(cosines)


def edgeless(nodes: int) -> Graph:
    """A graph without edges."""
    return Graph(np.zeros(nodes + 1, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def reverse(graph: Graph) -> Graph:
    """The same edges in the opposite direction."""
    return from_edges(graph.nodes, graph.sources, graph.targets, graph.weights)


def attach(graph: Graph, ids: Rows, weights: Weights) -> Graph:
    """Add new nodes after those of a graph. New nodes receive and never send, so no old node changes.

    Args:
        ids: int64 (m, k), in [0, n): the nodes that each new node receives from.
        weights: float32 (m, k).
    """
    if ids.size and ids.max() >= graph.nodes:
        raise ValueError("a new node may only receive from old ones")
    new = from_neighbours(ids, weights, first_node=graph.nodes)
    starts = np.concatenate([graph.starts, graph.starts[-1] + new.starts[graph.nodes + 1 :]])
    return Graph(starts, np.concatenate([graph.sources, new.sources]), np.concatenate([graph.weights, new.weights]))


def drop_edges(graph: Graph, share: float, seed: int) -> Graph:
    """The graph without a random share of its edges."""
    if share == 0:
        return graph
    return graph.at(np.random.default_rng(seed).random(len(graph.sources)) >= share)


def random_neighbours(rows: int, k: int, gallery_rows: int, seed: int, *, first_row: int = 0) -> Rows:
    """Random neighbour lists: k different nodes for each node, never the node itself.

    Args:
        rows: m, the nodes first_row, first_row + 1, ...
        k: below `gallery_rows`.
        gallery_rows: neighbours are in [0, gallery_rows).
    Returns:
        int64 (m, k).
    """
    generator = np.random.default_rng(seed)
    ids = np.empty((rows, k), np.int64)
    for number in range(rows):
        row = first_row + number
        others = gallery_rows - 1 if row < gallery_rows else gallery_rows
        chosen = generator.choice(others, k, replace=False)
        ids[number] = chosen + (chosen >= row)
    return ids
