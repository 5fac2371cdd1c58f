"""Two real processes train the graph network that one trains."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from miner.refine.fit import fit, make_network
from tests.refine.test_network import CPU, options, random_nodes
from tests.train.processes import on_processes


def trained() -> dict[str, torch.Tensor]:
    # Adam makes steps of the learning rate out of gradients that are nothing but rounding, such as a bias's before a batch norm.
    nodes, chosen = random_nodes(), options(fanout=2, epochs=3, lr=0.002)
    network = make_network(chosen, 6)
    with TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "last.pt"
        outcome = fit(network, "gcn", nodes, nodes, chosen, batch_size=20, device=CPU, checkpoint=checkpoint)
    return {**network.state_dict(), "loss": torch.tensor(outcome["loss"])}


def test_two_processes_agree_with_one(tmp_path) -> None:
    wanted = trained()
    one, other = on_processes(2, trained, tmp_path / "two")
    start = make_network(options(), 6).state_dict()
    for name, value in wanted.items():
        assert torch.equal(one[name], other[name])
        torch.testing.assert_close(one[name], value, atol=1e-4, rtol=1e-4)
        assert name == "loss" or not torch.allclose(start[name], value, atol=1e-3)  # so many steps changed something
