"""Two real processes train the graph network that one trains."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.errors import UsageError
from miner.learning.parallel import processes
from miner.options import flag_name
from miner.refine.network import fit as fitting
from miner.refine.network.fit import fit
from miner.refine.network.network import make_network
from miner.refine.options import RefineStageOptions
from miner.refine.run import refine
from tests.learning.parallel.spawned import on_processes, start_copies
from tests.processes import run_as_torchrun
from tests.refine.graphs import CPU, clusters, options, random_nodes


def trained(lr: float) -> dict[str, torch.Tensor]:
    nodes, chosen = random_nodes(), options(fanout=2, epochs=3, lr=lr)
    network = make_network(chosen, 6)
    with TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "last.pt"
        outcome = fit(network, nodes, nodes, chosen, batch_size=20, device=CPU, checkpoint=checkpoint)
    return {**network.state_dict(), "loss": torch.tensor(outcome["loss"])}


def test_two_processes_agree_with_one(tmp_path) -> None:
    wanted = trained(0.002)
    one, other = on_processes(2, partial(trained, 0.002), tmp_path / "two")
    start = make_network(options(), 6).state_dict()
    for name, value in start.items():
        assert torch.equal(one[name], other[name])
        torch.testing.assert_close(one[name], wanted[name], atol=1e-4, rtol=1e-4)
        assert not torch.allclose(value, wanted[name], atol=1e-3)  # so many steps changed something


def test_two_processes_have_the_loss_of_one(tmp_path) -> None:
    """With steps near 0: Adam makes steps of the learning rate out of gradients that are nothing but rounding, here those of the
    projector's last bias, which the predictor's batch norm takes away."""
    one, other = on_processes(2, partial(trained, 1e-6), tmp_path / "two")
    assert one["loss"] == other["loss"]
    torch.testing.assert_close(one["loss"], trained(1e-6)["loss"], atol=1e-5, rtol=1e-5)


def test_torchrun_and_processes_refine_what_one_process_does(make_embeddings, monkeypatch) -> None:
    """All images in one step: each process then takes every message that its images need, not a sample."""
    asked = {"neighbors": 3, "dim": 16, "epochs": 4, "fanout": 1, "device": "cpu"}
    one, two, launched = (make_embeddings(clusters(60, 0), name=name) for name in ("one", "two", "launched"))
    refine(RefineStageOptions.parse(asked), one)
    monkeypatch.setattr(processes, "spawn", start_copies)
    refine(RefineStageOptions.parse({**asked, "processes": 2}), two)
    flags = [word for name, value in asked.items() for word in (flag_name(name), str(value))]
    said = run_as_torchrun(["refine", *flags, "-w", str(launched.root)], 2)
    assert said.count("refine: 60 images") == 1
    folders = [workspace.root / "refined/embeddings" for workspace in (one, two, launched)]
    for path in folders[1].rglob("*.*"):
        assert path.read_bytes() == (folders[2] / path.relative_to(folders[1])).read_bytes(), path
    wanted, found = (EmbeddingStore(Workspace(space.root / "refined")).vectors.astype(float) for space in (one, two))
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_more_processes_than_images_of_a_step_are_refused(tmp_path, monkeypatch) -> None:
    nodes, chosen = random_nodes(), options()
    monkeypatch.setattr(fitting, "world_size", lambda: 3)
    with pytest.raises(UsageError, match="A step of 2 images is too little for 3 processes"):
        fit(make_network(chosen, 6), nodes, nodes, chosen, batch_size=2, device=CPU, checkpoint=tmp_path / "a")
