"""kNN during a run: what it says is what `miner eval knn` measures, and the best weights are kept."""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file

from miner.artifacts.runs.inputs import find_inputs
from miner.artifacts.runs.manifest import BEST_FILE
from miner.artifacts.runs.networks import load_backbone
from miner.artifacts.workspace import Workspace
from miner.embed.encoder_name import parse_encoder
from miner.embed.encoders import load_encoder
from miner.engine.digest import file_record
from miner.errors import MinerError, UsageError
from miner.evaluate.options import KnnOptions
from miner.evaluate.run import knn
from miner.train.loop.metrics import read_metrics
from miner.train.methods import Method
from miner.train.observers.knn import KnnObserver, labelled_part
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.train.mini_workspace import TINY_RUN, write_shards
from tests.train.plans import plan

OPTIONS = TrainOptions(**{**TINY_RUN, "epochs": 3, "batch_size": 16, "knn_epochs": 2, "pairs_arm": "none", "lr": 0.5})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = write_shards(tmp_path_factory.mktemp("online"), images=64)
    train(OPTIONS, workspace)
    return workspace


def test_it_is_measured_every_so_many_epochs_and_at_the_end(workspace: Workspace) -> None:
    lines = read_metrics(workspace.run("moco") / "metrics.jsonl")
    measured = {line["epoch"]: line["knn"] for line in lines if "knn" in line}
    assert list(measured) == [2, 3]
    record = json.loads((workspace.run("moco") / "manifest.json").read_text())["online_knn"]
    assert record["last"] == measured[3] and record["best"] == max(measured.values())
    assert record["best_epoch"] == next(epoch for epoch, value in measured.items() if value == record["best"])
    assert "optimistic" in record["caution"] and record["test_origin"] == "held out by key"
    assert record["n_gallery"] + record["n_test"] == 64 and record["k"] == record["n_gallery"]


def test_eval_knn_measures_the_same_on_last_and_best_weights(workspace: Workspace) -> None:
    online = json.loads((workspace.run("moco") / "manifest.json").read_text())["online_knn"]
    last, best = (knn(KnnOptions(device="cpu", best=best), workspace).record for best in (False, True))
    assert last["results"][0]["trained"] == online["last"] and best["results"][0]["trained"] == online["best"]
    assert (last["weights"], best["weights"]) == ("last", "best")
    assert {path.name for path in (workspace.run("moco") / "eval").iterdir()} == {"knn.json", "knn-best.json"}
    shared = online.keys() & last.keys()
    assert {"layer", "mode", "norm", "resize", "n_gallery", "test"} <= shared
    assert {name: online[name] for name in shared} == {name: last[name] for name in shared}


def test_only_the_first_process_decodes_what_is_measured(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = labelled_part(find_inputs(workspace, with_pairs=False), None)
    monkeypatch.setattr(type(found.gallery.source), "read", Mock(side_effect=AssertionError))
    monkeypatch.setattr("miner.train.observers.knn.rank", lambda: 1)
    other = KnnObserver(plan(knn_epochs=2), found, torch.device("cpu"))
    other.load_state_dict({"last": 3.0, "best": 4.0, "best_epoch": 2, "best_weights": {}})
    assert other.record()["k"] == len(found.gallery.entries) and other.state_dict()["best"] == 4.0


def test_measuring_changes_nothing_that_is_learned(workspace: Workspace) -> None:
    quiet = OPTIONS.model_copy(update={"knn_epochs": 0, "name": "quiet"})
    record = train(quiet, workspace).record
    run, other = workspace.run("quiet"), workspace.run("moco")
    assert "online_knn" not in record and not (run / "backbone-best.safetensors").exists()
    assert (run / "backbone.safetensors").read_bytes() == (other / "backbone.safetensors").read_bytes()
    with pytest.raises(MinerError, match=r"quiet kept no best weights.*--knn-epochs"):
        load_backbone(run, BEST_FILE)


class Still(Method):
    """A backbone whose features the test sets: a linear map of the mean colour."""

    def __init__(self) -> None:
        layers = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 4), torch.nn.Dropout(0.9)
        super().__init__(torch.nn.Sequential(*layers))

    def forward(self, batch: object) -> dict[str, torch.Tensor]:
        raise NotImplementedError


def test_best_weights_are_those_of_the_first_highest_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = labelled_part(find_inputs(write_shards(tmp_path, images=48), with_pairs=False), 40)
    assert len(found.gallery.entries) + len(found.test.entries) == 40
    accuracies = iter([10.0, 30.0, 20.0, 30.0])
    monkeypatch.setattr("miner.train.observers.knn.accuracy_percent", lambda *_: next(accuracies))
    chosen, cpu = plan(image_size=32, epochs=4, knn_epochs=1, workers=1), torch.device("cpu")
    observer, method = KnnObserver(chosen, found, cpu), Still().train()
    for epoch in range(1, 3):
        method.backbone[2].bias.data.fill_(epoch)
        assert observer.on_epoch_end(epoch, epoch, method) == {"knn": 10.0 if epoch == 1 else 30.0}
    assert method.backbone.training and method.backbone[3].training
    torch.save(observer.state_dict(), tmp_path / "state.pt")
    resumed = KnnObserver(chosen, found, cpu)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for epoch in range(3, 5):
        method.backbone[2].bias.data.fill_(epoch)
        resumed.on_epoch_end(epoch, epoch, method)
    record = resumed.record()
    assert (record["last"], record["best"], record["best_epoch"]) == (30.0, 30.0, 2)
    assert resumed.best_weights["2.bias"].tolist() == [2.0] * 4


def test_the_best_weights_are_a_listed_file(workspace: Workspace) -> None:
    run = workspace.run("moco")
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["files"]["backbone-best.safetensors"] == file_record(run / "backbone-best.safetensors")
    same = manifest["online_knn"]["best_epoch"] == 3
    last, best = (load_file(run / f"backbone{suffix}.safetensors")["conv1.weight"] for suffix in ("", "-best"))
    assert torch.equal(last, best) == same


def test_the_best_weights_are_an_encoder_of_their_own(workspace: Workspace) -> None:
    name = f"run:{workspace.run('moco')}/backbone-best.safetensors"
    encoder = load_encoder(name, torch.device("cpu"))
    backbone = load_backbone(workspace.run("moco"), BEST_FILE)
    pixels = torch.randint(0, 256, (3, 32, 32, 3), generator=torch.manual_seed(0)).to(torch.uint8)
    with torch.inference_mode():
        features = torch.nn.functional.normalize(backbone.module(encoder.preprocess.normalise(pixels)))
    torch.testing.assert_close(encoder.encode(pixels, torch.float32), features, atol=1e-5, rtol=1e-4)
    assert encoder.labels_seen == "those that its epoch was chosen by; none"
    assert {file.name for file in parse_encoder(name).files} == {"backbone-best.safetensors", "config.yaml"}
    with pytest.raises(UsageError, match="has no projector"):
        load_encoder(name, torch.device("cpu"), layer="projector")


def test_without_labels_it_is_refused_before_any_work(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, labelled=False)
    with pytest.raises(MinerError, match=r"no labels, and --knn-epochs needs them.*Train without"):
        train(OPTIONS, workspace)
    assert not (workspace.run("moco") / "metrics.jsonl").exists()
