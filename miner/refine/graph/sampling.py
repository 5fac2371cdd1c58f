"""The neighbourhood of some nodes as a graph of its own: these nodes first, then the nodes that they receive from, hop by hop."""

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows
from miner.refine.graph.graph import Graph, Weights, from_edges

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def sampled_block(graph: Graph, seeds: Rows, hops: int, fanout: int | None, step_seed: int) -> tuple[Graph, Rows]:
    """The receptive field of the seeds over some hops, with at most `fanout` sampled edges per node.

    With all edges, a network of `hops` layers gives the seeds the same output on the block as on the whole graph. With sampled
    edges, the weights grow, so that the sum that a node receives in one layer is the same in expectation. An edge from a node to
    itself always stays. Which edges stay depends on `step_seed` and the edge alone, not on the other seeds.

    Args:
        graph: with the weights of `adjacency.normalised`.
        seeds: int64 (b,), each once.
        hops: from the seeds.
        fanout: edges per node and hop; None for all.
        step_seed: random seed of this step, in [0, 2^63).
    Returns:
        The block, and the node of the graph behind each of its nodes, int64 (m,); the first b are the seeds.
    """
    nodes, frontier = seeds, seeds
    place = np.full(graph.nodes, -1, np.int64)
    place[seeds] = np.arange(len(seeds))
    parts: list[tuple[Rows, Rows, Weights]] = []
    for _ in range(hops):
        targets, edges, scale = _chosen(graph, frontier, fanout, step_seed)
        sources = graph.sources[edges]
        fresh = np.unique(sources[place[sources] < 0])
        place[fresh] = np.arange(len(nodes), len(nodes) + len(fresh))
        parts.append((place[targets], place[sources], graph.weights[edges] * scale))
        nodes, frontier = np.concatenate([nodes, fresh]), fresh
    targets, sources, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return from_edges(len(nodes), targets, sources, weights), nodes


def _chosen(graph: Graph, nodes: Rows, fanout: int | None, step_seed: int) -> tuple[Rows, Rows, Weights]:
    """Target, edge number and factor of the sampled edges, by target in the order of `nodes`."""
    degrees = graph.starts[nodes + 1] - graph.starts[nodes]
    ends = np.cumsum(degrees)
    edges = np.arange(ends[-1] if len(ends) else 0) + np.repeat(graph.starts[nodes] - (ends - degrees), degrees)
    rows = np.repeat(np.arange(len(nodes)), degrees)
    own = graph.sources[edges] == nodes[rows]
    scale = np.ones(len(edges), np.float32)
    if fanout is not None:
        keys = np.where(own, np.uint64(0), _mixed(edges, step_seed) | np.uint64(1))
        order = np.lexsort((keys, rows))
        rank = np.empty(len(edges), np.int64)
        rank[order] = np.arange(len(edges)) - np.repeat(ends - degrees, degrees)
        loops = np.bincount(rows, own, len(nodes)).astype(np.int64)
        keep = rank < (fanout + loops)[rows]
        others = (degrees - loops).clip(1)
        scale = np.where(own, 1, (others / np.minimum(others, fanout))[rows]).astype(np.float32)[keep]
        rows, edges = rows[keep], edges[keep]
    return nodes[rows], edges, scale


def _mixed(numbers: Rows, seed: int) -> NDArray[np.uint64]:
    """A well-mixed number for each edge and seed (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * _GOLDEN + np.uint64(seed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
