"""A graph as each node's list of the nodes that it receives from, and how nearest neighbours make one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows

Kind = Literal["directed", "symmetric", "mutual"]
Weights = NDArray[np.float32]


@dataclass(frozen=True)
class Graph:
    """Directed edges by the node that receives (CSR): node t hears from `sources[starts[t] : starts[t + 1]]`, ascending.

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
        """int64 (edges,): who receives along each edge."""
        return np.repeat(np.arange(self.nodes), np.diff(self.starts))

    def at(self, keep: NDArray[np.bool_]) -> "Graph":
        """The same nodes with some of the edges."""
        kept = np.concatenate([[0], np.cumsum(keep)])
        return Graph(kept[self.starts], self.sources[keep], self.weights[keep])


def from_edges(nodes: int, targets: Rows, sources: Rows, weights: Weights) -> Graph:
    """A graph of edges in any order. Of equal edges the first counts.

    Args:
        nodes: n.
        targets, sources: int64 (edges,), in [0, n).
        weights: float32 (edges,).
    """
    keys, first = np.unique(targets * nodes + sources, return_index=True)
    starts = np.searchsorted(keys, np.arange(nodes + 1) * nodes)
    return Graph(starts, sources[first], weights[first])


def from_neighbours(ids: Rows, weights: Weights, kind: Kind = "directed", first: int = 0) -> Graph:
    """Every node receives from its own nearest neighbours.

    Args:
        ids: int64 (m, k), the neighbours of the nodes first, first + 1, ...; nodes before `first` have none.
        weights: float32 (m, k).
        kind: `directed` as they are; `symmetric`: both ways; `mutual`: only edges that are there both ways.
    """
    nodes = first + len(ids)
    targets = np.repeat(np.arange(first, nodes), ids.shape[1])
    return from_edge_list(nodes, targets, ids.ravel(), weights.ravel(), kind)


def from_edge_list(nodes: int, targets: Rows, sources: Rows, weights: Weights, kind: Kind) -> Graph:
    """The same of edges in any order: `from_edges`, both ways or mutual ones only."""
    if kind == "symmetric":
        both = np.concatenate([targets, sources]), np.concatenate([sources, targets])
        return from_edges(nodes, *both, np.concatenate([weights, weights]))
    if kind == "mutual":
        keep = np.isin(targets * nodes + sources, sources * nodes + targets)
        targets, sources, weights = targets[keep], sources[keep], weights[keep]
    return from_edges(nodes, targets, sources, weights)


def edgeless(nodes: int) -> Graph:
    """Nodes that hear nobody."""
    return Graph(np.zeros(nodes + 1, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def reverse(graph: Graph) -> Graph:
    """Every message the other way: nodes are heard by those they listened to."""
    return from_edges(graph.nodes, graph.sources, graph.targets, graph.weights)


def attach(graph: Graph, ids: Rows, weights: Weights) -> Graph:
    """New nodes after those of a graph, which receive and are never heard: no old node can change.

    Args:
        graph: n nodes.
        ids: int64 (m, k), in [0, n): whom each new node receives from.
        weights: float32 (m, k).
    """
    if ids.size and ids.max() >= graph.nodes:
        raise ValueError("a new node may only receive from old ones")
    hanging = from_neighbours(ids, weights, first=graph.nodes)
    starts = np.concatenate([graph.starts, graph.starts[-1] + hanging.starts[graph.nodes + 1 :]])
    return Graph(
        starts, np.concatenate([graph.sources, hanging.sources]), np.concatenate([graph.weights, hanging.weights])
    )


def drop_edges(graph: Graph, share: float, seed: int) -> Graph:
    """Without a random share of the edges."""
    if share == 0:
        return graph
    return graph.at(np.random.default_rng(seed).random(len(graph.sources)) >= share)


def random_neighbours(rows: int, k: int, among: int, seed: int, *, first: int = 0) -> Rows:
    """Neighbour lists of the same length that know nothing: k different nodes each, never the node itself.

    Args:
        rows: m, the nodes first, first + 1, ...
        among: neighbours are in [0, among); k < among.
    Returns:
        int64 (m, k).
    """
    draw = np.random.default_rng(seed)
    ids = np.empty((rows, k), np.int64)
    for row in range(rows):
        others = among - 1 if first + row < among else among
        chosen = draw.choice(others, k, replace=False)
        ids[row] = chosen + (chosen >= first + row)
    return ids
