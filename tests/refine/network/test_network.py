"""Convolutions against sums written out, and sampled neighbourhoods against the whole graph."""

import numpy as np
import pytest
import torch

from miner.refine.graph.graph import edgeless, from_neighbours
from miner.refine.graph.messages import adjacency, weighted
from miner.refine.graph.sampling import sampled_block
from miner.refine.network.encode import encode
from miner.refine.network.fit import Nodes, fit, make_network
from miner.refine.network.network import GraphNetwork
from tests.refine.graphs import CONVS, CPU, options, random_nodes


def output(network: GraphNetwork, conv: str, nodes: Nodes) -> torch.Tensor:
    return network(torch.from_numpy(nodes.features), adjacency(weighted(nodes.graph, conv), conv, CPU))


def five() -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Features of five nodes; who hears whom as a matrix, row by row; and the same as neighbour lists."""
    chosen = np.array([[1], [2], [1], [2], [0]])
    hears = np.zeros((5, 5), np.float32)
    hears[np.arange(5), chosen[:, 0]] = [1, 1, 1, 1, 1]
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), hears, chosen


@pytest.mark.parametrize("conv", ["gcn", "sage", "gin"])
def test_one_round_is_the_sum_written_out(conv: str) -> None:
    features, hears, chosen = five()
    graph = from_neighbours(chosen, np.ones((5, 1), np.float32))
    network = GraphNetwork(3, dim=2, layers=1, conv=conv, jump="last")
    found = output(network, conv, Nodes(features.numpy(), graph))
    layer = network.convolutions[0]
    heard = torch.from_numpy(hears)
    if conv == "gcn":  # every node hears one other, so every degree with its own message is 2
        wanted = layer.lin(features + heard @ features) / 2 + layer.bias
    elif conv == "sage":
        wanted = layer.lin_l(heard @ features) + layer.lin_r(features)
    else:
        wanted = layer.nn(features + heard @ features)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("conv", CONVS)
def test_a_node_changes_those_that_hear_it_and_no_other(conv: str) -> None:
    """0 chose 1, 1 chose 2, 2 chose 1, 3 chose 2, 4 chose 0: over two hops, 0 reaches 4 alone, and 2 reaches 1, 3, 0."""
    features, _, chosen = five()
    graph = from_neighbours(chosen, np.ones((5, 1), np.float32))
    network = GraphNetwork(3, dim=8, layers=2, conv=conv, jump="last")
    before = output(network, conv, Nodes(features.numpy(), graph))
    for changed, reached in ((0, {0, 4}), (2, {0, 1, 2, 3}), (3, {3}), (4, {4})):
        other = features.clone()
        other[changed] += 1
        after = output(network, conv, Nodes(other.numpy(), graph))
        assert set(np.flatnonzero((after != before).any(dim=1).numpy())) == reached


def test_gcn_weighs_by_degrees_as_torch_geometric_does() -> None:
    from torch_geometric.nn import GCNConv

    nodes = random_nodes()
    network = GraphNetwork(6, dim=5, layers=1, conv="gcn", jump="last")
    theirs = GCNConv(6, 5)
    theirs.load_state_dict(network.convolutions[0].state_dict())
    edges = torch.from_numpy(np.stack([nodes.graph.sources, nodes.graph.targets]))
    wanted = theirs(torch.from_numpy(nodes.features), edges, torch.from_numpy(nodes.graph.weights))
    torch.testing.assert_close(output(network, "gcn", nodes), wanted)


def test_sage_takes_the_mean_as_torch_geometric_does() -> None:
    from torch_geometric.nn import SAGEConv

    nodes = random_nodes()
    graph = type(nodes.graph)(nodes.graph.starts, nodes.graph.sources, np.ones_like(nodes.graph.weights))
    network = GraphNetwork(6, dim=5, layers=1, conv="sage", jump="last")
    theirs = SAGEConv(6, 5)
    theirs.load_state_dict(network.convolutions[0].state_dict())
    edges = torch.from_numpy(np.stack([graph.sources, graph.targets]))
    wanted = theirs(torch.from_numpy(nodes.features), edges)
    torch.testing.assert_close(output(network, "sage", Nodes(nodes.features, graph)), wanted)


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("jump", ["last", "max", "concat"])
def test_all_neighbours_of_some_nodes_give_what_the_whole_graph_gives(conv: str, jump: str) -> None:
    nodes = random_nodes(kind="directed")
    network = GraphNetwork(6, dim=5, layers=2, conv=conv, jump=jump)
    whole = output(network, conv, nodes)
    seeds = np.array([17, 3, 30])
    block, rows = sampled_block(weighted(nodes.graph, conv), seeds, 2, None, 0)
    assert rows[:3].tolist() == [17, 3, 30] and len(set(rows.tolist())) == len(rows) < 40
    part = network(torch.from_numpy(nodes.features[rows]), adjacency(block, conv, CPU))
    torch.testing.assert_close(part[:3], whole[seeds])


@pytest.mark.parametrize("conv", CONVS)
def test_encoding_by_blocks_gives_what_the_whole_graph_gives(conv: str) -> None:
    nodes = random_nodes()
    network = GraphNetwork(6, dim=5, layers=3, conv=conv, jump="concat")
    whole, parts = (encode(network, conv, nodes, batch_size=size, device=CPU) for size in (40, 7))
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)


def test_isolated_nodes_keep_to_themselves() -> None:
    features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for conv in CONVS:
        network = GraphNetwork(3, dim=4, layers=2, conv=conv, jump="last")
        found = output(network, conv, Nodes(features, edgeless(5)))
        one = output(network, conv, Nodes(features[:1], edgeless(1)))
        assert found.isfinite().all()
        torch.testing.assert_close(found[:1], one)


def test_thinned_messages_keep_their_sum_in_expectation_and_do_not_depend_on_the_other_seeds() -> None:
    nodes = random_nodes(k=10)
    graph = weighted(nodes.graph, "gcn")
    sums = np.bincount(graph.targets, graph.weights, 40)
    thin = []
    for draw in range(600):
        block, rows = sampled_block(graph, np.arange(40), 1, 3, draw)
        assert (np.diff(block.starts) <= 4).all()  # three others and the node itself
        thin.append(np.bincount(block.targets, block.weights, 40))
    np.testing.assert_allclose(np.mean(thin, axis=0), sums, rtol=0.05)
    block, rows = sampled_block(graph, np.arange(40), 1, 3, 5)
    alone, others = sampled_block(graph, np.array([7]), 1, 3, 5)
    assert set(others[alone.sources]) == set(rows[block.sources[block.targets == 7]])


@pytest.mark.parametrize("conv", CONVS)
def test_sampling_all_neighbours_trains_as_the_whole_graph_does(tmp_path, monkeypatch, conv: str) -> None:
    from miner.refine.network import fit as fitting

    nodes, chosen = random_nodes(), options(conv=conv, fanout=40)
    wanted = make_network(chosen, 6)
    outcome = fit(wanted, conv, nodes, nodes, chosen, batch_size=40, device=CPU, checkpoint=tmp_path / "a")
    monkeypatch.setattr(fitting._Views, "whole", property(lambda _: False, lambda *_: None), raising=False)
    found = make_network(chosen, 6)
    sampled = fit(found, conv, nodes, nodes, chosen, batch_size=40, device=CPU, checkpoint=tmp_path / "b")
    assert sampled["loss"] == pytest.approx(outcome["loss"], abs=1e-5)
    for one, other in zip(wanted.parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("batch_size", [40, 16])
def test_killed_and_resumed_training_ends_with_the_same_bits(tmp_path, monkeypatch, batch_size: int) -> None:
    from miner.refine.network import fit as fitting

    nodes, chosen = random_nodes(), options(fanout=2, conv="sage")
    settings = {"batch_size": batch_size, "device": CPU, "checkpoint_steps": 2}
    whole = make_network(chosen, 6)
    wanted = fit(whole, "sage", nodes, nodes, chosen, checkpoint=tmp_path / "whole", **settings)

    def save_and_die(*arguments: object) -> None:
        save(*arguments)
        raise KilledError

    save = fitting.save_checkpoint
    monkeypatch.setattr(fitting, "save_checkpoint", save_and_die)
    with pytest.raises(KilledError):
        fit(make_network(chosen, 6), "sage", nodes, nodes, chosen, checkpoint=tmp_path / "killed", **settings)
    monkeypatch.setattr(fitting, "save_checkpoint", save)
    again = make_network(chosen, 6)
    assert fit(again, "sage", nodes, nodes, chosen, checkpoint=tmp_path / "killed", **settings) == wanted
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_lowers_the_loss_and_does_not_collapse(tmp_path) -> None:
    nodes = random_nodes(200, width=16)
    few, many = (
        fit(
            make_network(chosen, 16),
            "gcn",
            nodes,
            nodes,
            chosen,
            batch_size=200,
            device=CPU,
            checkpoint=tmp_path / name,
        )
        for name, chosen in (("few", options(epochs=1)), ("many", options(epochs=60)))
    )
    assert many["loss"] < 0.7 * few["loss"] and many["spread"] > 0.2
