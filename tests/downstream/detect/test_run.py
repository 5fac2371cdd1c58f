"""Detectors on a small made set: they learn, continue after a kill, and are compared with each other."""

import json
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from PIL import Image

from miner.artifacts.workspace import Workspace
from miner.downstream.detect import training
from miner.downstream.detect.run import detect, verdict_of_detection
from miner.engine import Result
from miner.errors import MinerError
from miner.evaluate.detect_options import DetectOptions
from miner.source import open_source
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.downstream.detect.made_set import photographs_of, write_made_set
from tests.train.mini_workspace import TINY_RUN, write_shards
from tests.train.runs import KilledError

LABELS = {"trousers": 1, "boots": 9}
SMALL = {
    **{"network": "random:timm:test_resnet", "batch_size": 4, "lr": 0.16, "warmup": 5, "device": "cpu", "workers": 1},
    **{"smallest_side": 64, "side": 64, "longest": 64, "regions": 8, "test_regions": 20},
}
Parts = dict[str, list[str]]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """24 scenes to train on, and 8 with other photographs to test on."""
    folder, source = tmp_path_factory.mktemp("scenes") / "VOCdevkit" / "VOC2007", open_source("sample")
    sides = {"trainval": (slice(0, 10), 24), "test": (slice(10, 16), 8)}
    return {
        part.removesuffix("val"): [write_made_set(folder, part, photographs_of(source, LABELS, rows), count, 64)]
        for part, (rows, count) in sides.items()
    }


def measured(parts: Parts, root: Path, iterations: int, force: bool = False, **changes: object) -> Result:
    asked = {**SMALL, **parts, "iterations": iterations, **changes}
    return detect(DetectOptions.parse(asked), Workspace(root), force=force)


def test_a_short_training_beats_an_untrained_head(parts: Parts, tmp_path: Path) -> None:
    untrained = measured(parts, tmp_path / "untrained", 1).record
    learned = measured(parts, tmp_path, 12).record
    assert learned["voc"]["ap50"] > untrained["voc"]["ap50"] + 5
    assert learned["coco"]["ap50"] > untrained["coco"]["ap50"] + 5
    assert sum(learned["losses"][-3:]) < 0.85 * sum(learned["losses"][:3])
    assert {*SMALL, "iterations", "sides", "norm_batches", "optimizer", "differences"} - learned.keys() == {
        *("device", "workers", "smallest_side", "side")
    }
    assert (learned["n_train"], learned["n_test"], learned["classes"]) == (24, 8, ["boots", "trousers"])


def test_killed_and_continued_equals_unbroken(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unbroken = measured(parts, tmp_path / "a", 4).record
    loss, steps = training._loss, []

    def killed_in_step_3(*arguments: object) -> torch.Tensor:
        steps.append(arguments[-1])
        if len(steps) == 4:
            raise KilledError
        return loss(*arguments)

    monkeypatch.setattr(training, "_loss", killed_in_step_3)
    with pytest.raises(KilledError):
        measured(parts, tmp_path / "b", 4, checkpoint_steps=2)
    folder = tmp_path / "b" / "eval"
    assert [*folder.glob("*.parts/last.pt")] and not [*folder.glob("*.json")]
    continued = measured(parts, tmp_path / "b", 4, checkpoint_steps=2)
    assert steps == [0, 1, 2, 3, 2, 3]
    assert continued.fresh and continued.record == unbroken
    assert [path.name for path in folder.iterdir()] == ["detect-random-timm-test_resnet.json"]
    assert not measured(parts, tmp_path / "b", 4).fresh
    with pytest.raises(MinerError, match="--force"):
        measured(parts, tmp_path / "b", 2)
    capsys.readouterr()


def test_a_loss_that_is_not_finite_stops_in_words(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(MinerError, match=r"not finite in step 1\. Give a lower --lr"):
        measured(parts, tmp_path, 2)


def test_run_is_compared_with_its_control(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, images=24, pairs=8)
    train(TrainOptions(**{**TINY_RUN, "epochs": 1}), workspace)
    few = [write_made_set(tmp_path / "scenes", "few", photographs_of(open_source("sample"), LABELS, slice(9)), 2, 64)]
    tiny = {"network": None, "batch_size": 1, "regions": 2, "test_regions": 2, "train": few, "test": few}
    first = measured({}, tmp_path, 1, **tiny)
    assert first.path == workspace.run("moco") / "eval" / "detect.json" and first.record["run"] == "moco"
    assert first.lines[-1].endswith(
        f"no control yet: run the same command with --network random:run:{workspace.run('moco')}"
    )
    control = measured({}, tmp_path, 1, **{**tiny, "network": "random:resnet18"})
    assert "than moco (" in control.lines[-1] or "as good as moco (" in control.lines[-1]
    again = measured({}, tmp_path, 1, **tiny)
    assert not again.fresh and "random:resnet18 (" in again.lines[-1]
    other_lr = json.loads(first.path.read_text())
    other_lr["request"]["lr"] = 1.0
    first.path.write_text(json.dumps(other_lr))
    again = measured({}, tmp_path, 1, **{**tiny, "network": "random:resnet18"})
    assert "no control yet: run the same command with another network" in again.lines[-1]


def test_coco_as_published_is_trained_on_and_tested(tmp_path: Path) -> None:
    folder, photographs = tmp_path / "coco", photographs_of(open_source("sample"), LABELS, slice(9))
    train, test = (write_made_set(folder, part, photographs, 3, 64, coco=True) for part in ("train2017", "val2017"))
    file = folder / "annotations/instances_train2017.json"
    content = json.loads(file.read_text())
    crowd = {"segmentation": {"counts": [0, 9, 4087], "size": [64, 64]}, "iscrowd": 1, "area": 9, "id": 900_100_000_139}
    content["annotations"].append({**content["annotations"][0], **crowd, "bbox": [0.0, 0.5, 63.61, 0.0]})
    content["images"].append({**content["images"][0], "id": 139, "file_name": "000000000139.jpg"})
    Image.new("L", (64, 48)).save(folder / "train2017" / "000000000139.jpg")
    file.write_text(json.dumps(content))
    found = measured({"train": [train], "test": [test]}, tmp_path / "w", 1, batch_size=1).record
    assert (found["format"], found["n_train"], found["n_test"], found["classes"]) == ("coco", 3, 3, [*LABELS])
    assert found["coco"]["ap50"] is not None


def test_weights_that_cannot_be_fetched_are_named(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(MinerError, match=r"resnet18 could not be fetched .* elsewhere and name resnet18@FILE"):
        measured(parts, tmp_path, 1, network="resnet18")


def test_verdict_names_each_control() -> None:
    ours, worse, better = (
        {"network": name, "voc": {"ap50": value}}
        for name, value in (("moco", 50.0), ("random", 40.0), ("resnet50", 62.5))
    )
    sentence = verdict_of_detection(ours, [worse, better], None)
    assert "better than random (40.0 %, +10.0 points) and worse than resnet50 (62.5 %, -12.5 points)" in sentence
    assert "as good as" in verdict_of_detection(ours, [{**ours, "network": "twin"}], None)
    assert "--network random:timm:resnet18" in verdict_of_detection(ours, [], "random:timm:resnet18")
    empty = {**ours, "voc": {"ap50": None}}
    assert "no object that counts" in verdict_of_detection(empty, [{**empty, "network": "twin"}], None)
