"""Runs that start from the weights of another one."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from miner.artifacts.runs.manifest import BACKBONE_FILE
from miner.artifacts.runs.networks import load_backbone, starting_backbone
from miner.artifacts.workspace import Workspace
from miner.engine.digest import file_record
from miner.errors import MinerError, UsageError
from miner.train.run import train
from miner.train.settings.init_from import find_initial_weights
from miner.train.settings.options import TrainOptions
from tests.train.mini_workspace import TINY_RUN, write_shards

ONE = {**TINY_RUN, "epochs": 1}
STILL = {**ONE, "lr": 1e-30, "weight_decay": 0.0, "method": "simclr", "hidden_dim": 16}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a finished run `moco`."""
    workspace = write_shards(tmp_path_factory.mktemp("start"), images=16, pairs=4)
    train(TrainOptions(**ONE), workspace)
    return workspace


def test_a_run_a_folder_and_a_file_name_the_same_weights(workspace: Workspace) -> None:
    run = workspace.run("moco")
    found = [
        find_initial_weights(asked, workspace, workspace.run("new"))
        for asked in ("moco", str(run), str(run / BACKBONE_FILE))
    ]
    assert found[0] == found[1] == found[2] and found[0] is not None and found[0].file == run / BACKBONE_FILE
    assert find_initial_weights(None, workspace, run) is None


def test_a_run_starts_from_the_weights_of_another_method(workspace: Workspace) -> None:
    options = TrainOptions(**STILL, init_from="moco")
    record = train(options, workspace).record
    before, after = (dict(load_backbone(workspace.run(name)).module.named_parameters()) for name in ("moco", "simclr"))
    for name, parameter in before.items():
        torch.testing.assert_close(after[name], parameter, atol=1e-20, rtol=0)
    assert not torch.allclose(after["conv1.weight"], starting_backbone(workspace.run("moco")).module.conv1.weight)
    assert record["request"]["init_from"] == file_record(workspace.run("moco") / BACKBONE_FILE)["sha256"]
    assert not train(options, workspace).fresh
    with pytest.raises(
        MinerError, match="the weights to start from are others"
    ):  # the same run without, or from other weights, is another request
        train(TrainOptions(**STILL), workspace)
    assert "init_from" not in train(TrainOptions(**ONE), workspace).record["request"]


def test_what_cannot_be_started_from_is_explained(workspace: Workspace, tmp_path: Path) -> None:
    def start(asked: str, name: str = "new") -> None:
        train(TrainOptions(**STILL, name=name, init_from=asked), workspace)

    with pytest.raises(UsageError, match=r"no such run in .*runs, and no such file"):
        start("nowhere")
    with pytest.raises(UsageError, match="is this very run"):
        start("moco", name="moco")
    (workspace.run("begun")).mkdir(parents=True)
    with pytest.raises(UsageError, match="begun: that run has not finished"):
        start("begun")
    state = load_backbone(workspace.run("moco")).module.state_dict()
    save_file({**state, "conv1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(MinerError, match=r"other\.safetensors does not fit .* another shape for conv1\.weight"):
        start(str(tmp_path / "other.safetensors"))
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    with pytest.raises(MinerError, match="could not be read as plain tensors"):
        start(str(tmp_path / "broken.safetensors"))
