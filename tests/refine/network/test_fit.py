"""Training: sampled against whole, killed and resumed, and whether it learns."""

import pytest
import torch

from miner.refine.network import fit as fitting
from miner.refine.network.fit import fit
from miner.refine.network.network import make_network
from tests.refine.graphs import CONVS, CPU, options, random_nodes


@pytest.mark.parametrize("conv", CONVS)
def test_sampling_all_neighbours_trains_as_the_graph_does(tmp_path, monkeypatch, conv: str) -> None:
    nodes, chosen = random_nodes(), options(conv=conv, fanout=40)
    wanted = make_network(chosen, 6)
    outcome = fit(wanted, nodes, nodes, chosen, batch_size=40, device=CPU, checkpoint=tmp_path / "a")
    monkeypatch.setattr(fitting._ViewMaker, "whole", property(lambda _: False, lambda *_: None), raising=False)
    found = make_network(chosen, 6)
    sampled = fit(found, nodes, nodes, chosen, batch_size=40, device=CPU, checkpoint=tmp_path / "b")
    assert sampled["loss"] == pytest.approx(outcome["loss"], abs=1e-5)
    for one, other in zip(wanted.parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("batch_size", [40, 16])
def test_killed_training_ends_with_the_same_bits(tmp_path, monkeypatch, batch_size: int) -> None:
    nodes, chosen = random_nodes(), options(fanout=2, conv="sage")
    settings = {"batch_size": batch_size, "device": CPU, "checkpoint_steps": 2}
    whole = make_network(chosen, 6)
    wanted = fit(whole, nodes, nodes, chosen, checkpoint=tmp_path / "whole", **settings)

    def save_and_die(*arguments: object) -> None:
        save(*arguments)
        raise KilledError

    save = fitting.save_checkpoint
    monkeypatch.setattr(fitting, "save_checkpoint", save_and_die)
    with pytest.raises(KilledError):
        fit(make_network(chosen, 6), nodes, nodes, chosen, checkpoint=tmp_path / "killed", **settings)
    monkeypatch.setattr(fitting, "save_checkpoint", save)
    again = make_network(chosen, 6)
    assert fit(again, nodes, nodes, chosen, checkpoint=tmp_path / "killed", **settings) == wanted
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_lowers_the_loss_and_does_not_collapse(tmp_path) -> None:
    nodes = random_nodes(200, width=16)
    few, many = (
        fit(
            make_network(chosen, 16),
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
