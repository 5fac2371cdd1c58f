"""Convolutions against sums written out, and sampled neighbourhoods against the whole graph."""

import numpy as np
import pytest
import torch

from miner.refine.graph.adjacency import adjacency, normalised
from miner.refine.graph.graph import edgeless, from_neighbours
from miner.refine.graph.sampling import sampled_block
from miner.refine.network.network import GraphNetwork, Nodes, encode
from tests.refine.graphs import CONVS, CPU, random_nodes


def output(network: GraphNetwork, nodes: Nodes) -> torch.Tensor:
    graph = normalised(nodes.graph, network.conv)
    return network(torch.from_numpy(nodes.features), adjacency(graph, network.conv, CPU))


def five() -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Features of five nodes; the adjacency matrix, a row for each receiving node; and the same as neighbour lists."""
    chosen = np.array([[1], [2], [1], [2], [0]])
    matrix = np.zeros((5, 5), np.float32)
    matrix[np.arange(5), chosen[:, 0]] = [1, 1, 1, 1, 1]
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), matrix, chosen


@pytest.mark.parametrize("conv", ["gcn", "sage", "gin"])
def test_one_layer_is_the_sum_written_out(conv: str) -> None:
    features, matrix, chosen = five()
    graph = from_neighbours(chosen, np.ones((5, 1), np.float32))
    network = GraphNetwork(3, dim=2, layers=1, conv=conv, jump="last")
    found = output(network, Nodes(features.numpy(), graph))
    layer = network.convolutions[0]
    received = torch.from_numpy(matrix) @ features
    if conv == "gcn":  # every node receives from one other and from itself, so every degree is 2
        wanted = layer.lin(features + received) / 2 + layer.bias
    elif conv == "sage":
        wanted = layer.lin_l(received) + layer.lin_r(features)
    else:
        wanted = layer.nn(features + received)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("conv", CONVS)
def test_node_changes_exactly_the_nodes_that_receive_from_it(conv: str) -> None:
    """0 chose 1, 1 chose 2, 2 chose 1, 3 chose 2, 4 chose 0: over two hops, 0 reaches 4 alone, and 2 reaches 1, 3, 0."""
    features, _, chosen = five()
    graph = from_neighbours(chosen, np.ones((5, 1), np.float32))
    torch.manual_seed(0)  # among all weights there are some for which a rectifier hides a change
    network = GraphNetwork(3, dim=8, layers=2, conv=conv, jump="last")
    before = output(network, Nodes(features.numpy(), graph))
    for changed, reached in ((0, {0, 4}), (2, {0, 1, 2, 3}), (3, {3}), (4, {4})):
        other = features.clone()
        other[changed] += 1
        after = output(network, Nodes(other.numpy(), graph))
        assert set(np.flatnonzero((after != before).any(dim=1).numpy())) == reached


def test_gcn_normalises_as_torch_geometric_does() -> None:
    from torch_geometric.nn import GCNConv

    nodes = random_nodes()
    network = GraphNetwork(6, dim=5, layers=1, conv="gcn", jump="last")
    theirs = GCNConv(6, 5)
    theirs.load_state_dict(network.convolutions[0].state_dict())
    edges = torch.from_numpy(np.stack([nodes.graph.sources, nodes.graph.targets]))
    wanted = theirs(torch.from_numpy(nodes.features), edges, torch.from_numpy(nodes.graph.weights))
    torch.testing.assert_close(output(network, nodes), wanted)


def test_sage_takes_the_mean_as_torch_geometric_does() -> None:
    from torch_geometric.nn import SAGEConv

    nodes = random_nodes()
    graph = type(nodes.graph)(nodes.graph.starts, nodes.graph.sources, np.ones_like(nodes.graph.weights))
    network = GraphNetwork(6, dim=5, layers=1, conv="sage", jump="last")
    theirs = SAGEConv(6, 5)
    theirs.load_state_dict(network.convolutions[0].state_dict())
    edges = torch.from_numpy(np.stack([graph.sources, graph.targets]))
    wanted = theirs(torch.from_numpy(nodes.features), edges)
    torch.testing.assert_close(output(network, Nodes(nodes.features, graph)), wanted)


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("jump", ["last", "max", "concat"])
def test_block_with_all_edges_gives_what_the_graph_gives(conv: str, jump: str) -> None:
    nodes = random_nodes(kind="directed")
    network = GraphNetwork(6, dim=5, layers=2, conv=conv, jump=jump)
    whole = output(network, nodes)
    seeds = np.array([17, 3, 30])
    block, rows = sampled_block(normalised(nodes.graph, conv), seeds, 2, None, 0)
    assert rows[:3].tolist() == [17, 3, 30] and len(set(rows.tolist())) == len(rows) < 40
    part = network(torch.from_numpy(nodes.features[rows]), adjacency(block, conv, CPU))
    torch.testing.assert_close(part[:3], whole[seeds])


@pytest.mark.parametrize("conv", CONVS)
def test_encoding_by_blocks_gives_what_the_graph_gives(conv: str) -> None:
    nodes = random_nodes()
    network = GraphNetwork(6, dim=5, layers=3, conv=conv, jump="concat")
    whole, parts = (encode(network, nodes, batch_size=size, device=CPU) for size in (40, 7))
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)


def test_isolated_node_depends_on_itself_alone() -> None:
    features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for conv in CONVS:
        network = GraphNetwork(3, dim=4, layers=2, conv=conv, jump="last")
        found = output(network, Nodes(features, edgeless(5)))
        one = output(network, Nodes(features[:1], edgeless(1)))
        assert found.isfinite().all()
        torch.testing.assert_close(found[:1], one)


def test_sampled_edges_keep_the_expected_sum() -> None:
    nodes = random_nodes(k=10)
    graph = normalised(nodes.graph, "gcn")
    sums = np.bincount(graph.targets, graph.weights, 40)
    sampled = []
    for step_seed in range(600):
        block, _ = sampled_block(graph, np.arange(40), 1, 3, step_seed)
        assert (np.diff(block.starts) <= 4).all()  # three others and the node itself
        sampled.append(np.bincount(block.targets, block.weights, 40))
    np.testing.assert_allclose(np.mean(sampled, axis=0), sums, rtol=0.05)


def test_sampled_edges_do_not_depend_on_other_seeds() -> None:
    graph = normalised(random_nodes(k=10).graph, "gcn")
    block, rows = sampled_block(graph, np.arange(40), 1, 3, 5)
    alone, others = sampled_block(graph, np.array([7]), 1, 3, 5)
    assert set(others[alone.sources]) == set(rows[block.sources[block.targets == 7]])
