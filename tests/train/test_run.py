import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision
import yaml
from safetensors.torch import load_file

from miner.artifacts.runs.manifest import BACKBONE_FILE, TEACHER_FILE, RunManifest
from miner.artifacts.runs.networks import load_backbone, starting_backbone
from miner.artifacts.workspace import Workspace
from miner.engine.digest import file_record
from miner.errors import MinerError, UsageError
from miner.options import written_name
from miner.train.loop.metrics import read_metrics
from miner.train.run import run_lines, train
from miner.train.settings.method_defaults import METHOD_DEFAULTS, METHOD_OPTIONS
from miner.train.settings.options import TrainOptions
from tests.train.mini_workspace import TINY_RUN, write_embedded, write_shards


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with shards and a finished run `moco`."""
    workspace = write_shards(tmp_path_factory.mktemp("train"), images=64, pairs=16)
    result = train(TrainOptions(**TINY_RUN), workspace)
    assert result.fresh
    return workspace


def test_the_run_folder_holds_what_the_manifest_says(workspace: Workspace) -> None:
    run = workspace.run("moco")
    manifest = json.loads((run / "manifest.json").read_text())
    assert set(manifest["files"]) == {
        *("backbone.safetensors", "projector.safetensors", "config.json", "metrics.jsonl", "config.yaml")
    }
    assert all(file_record(run / name) == record for name, record in manifest["files"].items())
    assert not manifest["request"].keys() & {
        "attention_heads",
        "mixed_images",
        "init_from",
    }  # younger, and not asked for
    events = [path.name for path in run.glob("events.out.*")]
    assert list(json.loads((run / "state.json").read_text())["files"]) == events
    files = {
        path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file() and path.parent.name != "eval"
    }
    assert files == {*manifest["files"], *events, "state.json", "manifest.json"} and not (run / "checkpoints").exists()
    expected = {
        "images": 64,
        "pairs": 16,
        "items": 80,
        "steps": 20,
        "steps_per_epoch": 10,
        "epochs": 2,
        "batch_size": 8,
        "queue_size": 16,
        "image_size": 32,
        "short_side": 32,
        "stem": "imagenet",
        "source": "sample",
        "pairs_arm": "semantic",
        "uses_labels": False,
        "pair_label_precision": 1.0,
    }
    assert {name: manifest[name] for name in expected} == expected
    assert manifest["final_loss"] == pytest.approx(read_metrics(run / "metrics.jsonl")[-1]["loss"], rel=1e-5)
    assert 0.2 < manifest["mean"][0] < 0.4 and manifest["mean"][0] == manifest["mean"][1]


def test_the_backbone_has_learned_and_loads_into_torchvision(workspace: Workspace) -> None:
    run = workspace.run("moco")
    network = torchvision.models.resnet18(weights=None)
    network.fc = torch.nn.Identity()
    network.load_state_dict(load_file(run / "backbone.safetensors"), strict=True)
    images = torch.rand(4, 3, 32, 32)
    trained, start = load_backbone(run), starting_backbone(run)
    with torch.no_grad():
        torch.testing.assert_close(trained.module(images), network.eval()(images))
        assert not torch.allclose(start.module(images), network(images))
    assert trained.image_size == 32 and trained.config["batch_size"] == 8


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_the_description_is_enough_to_load_the_backbone(stem: str, workspace: Workspace, tmp_path: Path) -> None:
    if stem == "cifar":
        workspace = write_shards(tmp_path, images=16, pairs=2)
        small = {"epochs": 1, "batch_size": 2, "image_size": 16, "stem": "cifar", "pairs_arm": "none"}
        train(TrainOptions(**{**TINY_RUN, **small}), workspace)
    run = workspace.run("moco")
    told = json.loads((run / "config.json").read_text())
    network = torchvision.models.get_model(told["architecture"], weights=None)
    network.fc = torch.nn.Identity()
    conv, pool = told["stem"]["conv1"], told["stem"]["maxpool"]
    network.conv1 = torch.nn.Conv2d(3, **conv)
    network.maxpool = torch.nn.Identity() if pool is None else torch.nn.MaxPool2d(**pool)
    network.load_state_dict(load_file(run / "backbone.safetensors"), strict=True)
    images = torch.rand(2, *told["pretrained_cfg"]["input_size"])
    trained = load_backbone(run)
    with torch.no_grad():
        features = network.eval()(images)
        torch.testing.assert_close(trained.module(images), features)
        if stem == "imagenet":
            twin = timm.create_model(told["architecture"], num_classes=0)
            twin.load_state_dict(load_file(run / "backbone.safetensors"), strict=True)
            torch.testing.assert_close(twin.eval()(images), features)
    assert told["num_features"] == features.shape[1] and tuple(told["pretrained_cfg"]["mean"]) == trained.mean


def test_the_start_is_what_training_started_from(workspace: Workspace, tmp_path: Path) -> None:
    shards = write_shards(tmp_path, images=64, pairs=16)
    options = TrainOptions(**{**TINY_RUN, "epochs": 1, "lr": 1e-30, "weight_decay": 0.0})
    train(options, shards)
    untouched = dict(load_backbone(shards.run("moco")).module.named_parameters())
    for name, parameter in starting_backbone(workspace.run("moco")).module.named_parameters():
        torch.testing.assert_close(untouched[name], parameter, atol=1e-20, rtol=0)


def test_a_run_on_a_source_is_that_on_its_embedded_images(tmp_path: Path) -> None:
    options = {**TINY_RUN, "epochs": 1, "limit": 32, "pairs_arm": "none"}
    train(TrainOptions(**options), write_embedded(tmp_path / "embedded", "sample"))
    train(TrainOptions(**options, source="sample"), Workspace(tmp_path / "bare"))
    whole, bare = (tmp_path / name / "runs/moco/backbone.safetensors" for name in ("embedded", "bare"))
    assert whole.read_bytes() == bare.read_bytes()
    with pytest.raises(UsageError, match="--pairs-arm none"):
        TrainOptions.parse({"source": "sample"})


def test_a_finished_request_returns_at_once_without_torch(workspace: Workspace) -> None:
    code = (
        "import sys; from pathlib import Path; from miner.train.run import train; "
        "from miner.train.settings.options import TrainOptions; from miner.artifacts.workspace import Workspace; "
        f"result = train(TrainOptions(**{TINY_RUN!r}), Workspace(Path({str(workspace.root)!r}))); "
        "print(result.fresh, 'torch' in sys.modules, result.record['steps'])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False", "20"]


def test_what_only_changes_the_speed_is_not_another_request(workspace: Workspace) -> None:
    faster = TrainOptions(**{**TINY_RUN, "workers": 3, "checkpoint_steps": 1})
    assert not train(faster, workspace).fresh


def test_another_request_is_refused_without_force_and_named(workspace: Workspace) -> None:
    before = (workspace.run("moco") / "manifest.json").read_bytes()
    with pytest.raises(MinerError, match=r"lr was 0\.03 and is now 0\.5"):
        train(TrainOptions(**{**TINY_RUN, "lr": 0.5}), workspace)
    assert (workspace.run("moco") / "manifest.json").read_bytes() == before


def test_source_and_shards_train_the_same_backbone(workspace: Workspace, tmp_path: Path) -> None:
    twin = write_embedded(tmp_path, str(workspace.shards / "images-000000.tar"), pairs=16)
    train(TrainOptions(**TINY_RUN), twin)
    for name in ("backbone.safetensors", "metrics.jsonl"):
        assert (twin.run("moco") / name).read_bytes() == (workspace.run("moco") / name).read_bytes()


def test_the_control_arm_trains_on_own_views_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setattr("miner.engine.progress._PLAIN_INTERVAL_S", 0.0)
    workspace = write_shards(tmp_path, images=64, pairs=16)
    (workspace.shards / "pairs.parquet").unlink()
    options = TrainOptions(**{**TINY_RUN, "epochs": 1, "pairs_arm": "none", "name": "control", "batch_size": 256})
    result = train(options, workspace)
    assert (
        result.record["pairs"] == 0 and result.record["items"] == 64 and result.record["pair_label_precision"] is None
    )
    said = capsys.readouterr().err
    assert "batch lowered from 256 to 8" in said and "lr 0.03 x 8/256 = 0.0009375" in said
    assert "queue cut from 4,096 to 16" in said
    assert re.search(r"train: 64 of 64 items, .* items/s, epoch 1 of 1, step 8 of 8, loss .* 0 s left\n", said)


def test_symmetric_cifar_stem_and_limit(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, images=64, pairs=40)
    options = TrainOptions(
        epochs=1, image_size=16, limit=48, symmetric=True, dim=8, batch_size=8, device="cpu", precision="fp32"
    )
    record = train(options, workspace).record
    assert record["images"] == 48 and 0 < record["pairs"] < 40
    assert record["stem"] == "cifar" and record["queue_size"] == 16 and record["precision"] == "fp32"
    config = yaml.safe_load((workspace.run("moco") / "config.yaml").read_text())
    assert config["symmetric"] is True and config["stem"] == "cifar"
    weights = load_file(workspace.run("moco") / "backbone.safetensors")
    assert weights["conv1.weight"].shape == (64, 3, 3, 3)
    assert load_backbone(workspace.run("moco")).module(torch.rand(1, 3, 16, 16)).shape == (1, 512)


@pytest.mark.parametrize("method", [name for name in METHOD_DEFAULTS if name != "moco"])
def test_every_method_trains_from_the_same_shards(
    method: str, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    widths = {"dim": 16, "hidden_dim": 32, "predictor_dim": 16}
    small = {name: width for name, width in widths.items() if name in METHOD_DEFAULTS[method].settings}
    options = TrainOptions(**{**TINY_RUN, "epochs": 1, "method": method, "lr": 0.03, **small})
    result = train(options, workspace)
    assert f"{method}: dim 16, " in capsys.readouterr().err
    record, run = result.record, workspace.run(method)
    assert record["method"] == method and record["final_rankme"] > 1 and 0 <= record["final_spread"] < 1.5
    config = yaml.safe_load((run / "config.yaml").read_text())
    settings = {*map(written_name, METHOD_DEFAULTS[method].settings)}
    assert {*map(written_name, METHOD_OPTIONS)} & config.keys() == settings
    if method in ("dino", "graphnnclr"):
        start = starting_backbone(run).module.conv1.weight
        teacher, student = (
            (load_backbone(run, name).module.conv1.weight - start).norm() for name in (TEACHER_FILE, BACKBONE_FILE)
        )
        assert 0 < teacher < 0.2 * student  # it follows, slowly
    images = torch.rand(2, 3, 32, 32)
    assert not torch.allclose(load_backbone(run).module(images), starting_backbone(run).module(images))
    assert "RankMe" in " ".join(result.lines) and ("accuracy" in " ".join(result.lines)) == (
        METHOD_DEFAULTS[method].contrastive
    )
    assert not train(options, workspace).fresh


def test_pairs_by_label_are_said_with_their_option(workspace: Workspace) -> None:
    made = RunManifest.read(workspace.run("moco")).model_copy(update={"uses_labels": True, "pairs_arm": "oracle"})
    assert "(--pairs-arm oracle): the run is an upper bound, and not" in run_lines("run", made)[1]
    drawn = made.model_copy(update={"record": {**made.record, "pairs_per_class": 3}})
    assert "(--pairs-per-class 3): the run is not self-supervised" in run_lines("run", drawn)[1]


def test_runs_on_pairs_alone_say_the_images_in_them(workspace: Workspace) -> None:
    made = RunManifest.read(workspace.run("moco")).model_copy(update={"images": 48, "pair_images": 12})
    for arm, images in (("semantic", 48), ("pairs-only", 12), ("matched-half", 12)):
        assert f", {images} images and" in run_lines("run", made.model_copy(update={"pairs_arm": arm}))[0]


def test_a_collapsed_run_says_so(workspace: Workspace) -> None:
    made = RunManifest.read(workspace.run("moco"))
    assert "collapsed" in made.model_copy(update={"final_spread": 0.01}).verdict
    assert "collapsed" not in made.model_copy(update={"final_spread": 0.8}).verdict


def test_damaged_weights_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "moco"
    run.mkdir(parents=True)
    for name in ("manifest.json", "config.yaml"):
        (run / name).write_bytes((workspace.run("moco") / name).read_bytes())
    data = bytearray((workspace.run("moco") / "backbone.safetensors").read_bytes())
    data[-1] ^= 1
    (run / "backbone.safetensors").write_bytes(data)
    with pytest.raises(MinerError, match=r"backbone\.safetensors is missing or damaged"):
        load_backbone(run)
    (run / "manifest.json").unlink()
    with pytest.raises(MinerError, match="has not finished"):
        load_backbone(run)


def test_a_name_that_leaves_the_folder_is_refused() -> None:
    for name in ("../x", "a/b", "", ".hidden"):
        with pytest.raises(MinerError, match="--name"):
            TrainOptions.parse({"name": name})
