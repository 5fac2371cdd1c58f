"""Evaluations on a GPU against the same on the CPU."""

from pathlib import Path

import pytest
import torch

from miner.artifacts.workspace import Workspace
from miner.evaluate.options import LinearOptions
from miner.evaluate.run import linear
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.train.mini_workspace import TINY_RUN, write_shards

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace of 400 labelled images with a run of one epoch on the CPU."""
    workspace = write_shards(tmp_path_factory.mktemp("evaluate"), images=400)
    train(TrainOptions(**{**TINY_RUN, "epochs": 1, "batch_size": 32, "pairs_arm": "none"}), workspace)
    return workspace


@pytest.mark.parametrize("chosen", [{"mode": "fast"}, {"mode": "augmented", "epochs": 2}], ids=["fast", "augmented"])
def test_linear_accuracies_are_those_of_the_cpu(chosen: dict[str, object], workspace: Workspace) -> None:
    torch.backends.cudnn.allow_tf32 = False
    cpu, cuda = (
        linear(LinearOptions(device=device, **chosen), workspace, force=True).record["results"]
        for device in ("cpu", "cuda")
    )
    for name in ("trained", "random"):
        for ours, theirs in zip(cuda[name]["candidates"], cpu[name]["candidates"], strict=False):
            assert ours["validation"] == pytest.approx(theirs["validation"], abs=8.0)
        assert cuda[name]["test"] == pytest.approx(cpu[name]["test"], abs=8.0)


def test_knn_during_training_runs_on_the_gpu(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, images=96)
    options = TrainOptions(**{**TINY_RUN, "device": "cuda", "knn_epochs": 1, "pairs_arm": "none"})
    online = train(options, workspace).record["online_knn"]
    assert online["best"] >= online["last"] > 10.0
    assert (workspace.run("moco") / "backbone-best.safetensors").exists()
