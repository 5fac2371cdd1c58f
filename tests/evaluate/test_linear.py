import json
import shutil
from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from miner.artifacts.runs.labelled import is_held_out
from miner.artifacts.runs.networks import load_backbone
from miner.artifacts.workspace import Workspace
from miner.engine import file_record, read_json, write_signed
from miner.errors import MinerError, UsageError
from miner.evaluate.linear_sgd import AREA, LRS, CropFeatures
from miner.evaluate.options import LinearOptions
from miner.evaluate.run import linear
from miner.images.loading import load_squares
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.artifacts.class_folders import class_folders
from tests.train.mini_workspace import TINY_RUN, sample_entries, write_shards

CPU = torch.device("cpu")
FAST = LinearOptions(device="cpu")
AUGMENTED = LinearOptions(mode="augmented", epochs=2, batch_size=32, device="cpu")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace of 120 labelled images with a finished run `moco`, evaluated both ways."""
    workspace = write_shards(tmp_path_factory.mktemp("linear"), images=120)
    train(TrainOptions(**{**TINY_RUN, "epochs": 1, "batch_size": 32, "pairs_arm": "none"}), workspace)
    assert linear(FAST, workspace).fresh and linear(AUGMENTED, workspace).fresh
    return workspace


def record_of(workspace: Workspace, name: str) -> dict:
    return json.loads((workspace.run("moco") / "eval" / f"{name}.json").read_text())


def parts() -> tuple[list[int], list[int], list[int]]:
    """Rows of the sample's first 120 images that are fitted, validated on, and tested."""
    _, entries = sample_entries(120)
    test = [row for row, entry in enumerate(entries) if is_held_out(entry.key, 0.2)]
    chosen = [row for row, e in enumerate(entries) if row not in test and is_held_out(f"validation {e.key}", 0.1)]
    return [row for row in range(120) if row not in test + chosen], chosen, test


@pytest.mark.parametrize("name", ["linear", "linear-augmented"])
def test_the_record_holds_the_protocol_and_every_candidate(name: str, workspace: Workspace) -> None:
    record = record_of(workspace, name)
    _, chosen, test = parts()
    assert (record["n_gallery"], record["n_test"], record["n_validation"]) == (120 - len(test), len(test), len(chosen))
    assert "sha256" in record["chosen_by"] and record["queries_seen_unlabelled"] and record["weights"] == "last"
    for result in (record["results"][side] for side in ("trained", "random")):
        best = max(candidate["validation"] for candidate in result["candidates"])
        first = next(candidate for candidate in result["candidates"] if candidate["validation"] == best)
        assert (result["chosen"], result["validation"]) == (first[record["setting"]], best)
    if name == "linear":
        assert (record["protocol"], record["setting"]) == ("fast", "l2") and "L-BFGS" in record["classifier"]
    else:
        assert [candidate["lr"] for candidate in record["results"]["random"]["candidates"]] == list(LRS)
        assert "2 epochs, batch 32, cosine" in record["classifier"] and "8% to 100%" in record["train_crops"]


def test_the_fast_accuracy_is_sklearns_on_the_same_features(workspace: Workspace) -> None:
    record = record_of(workspace, "linear")
    backbone = load_backbone(workspace.run("moco"))
    source, entries = sample_entries(120)
    pixels = load_squares(source, entries, 32, 1, "decode") / 255.0
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (backbone.mean, backbone.std))
    with torch.no_grad():
        features = backbone.module((pixels - mean) / std).double().numpy()
    labels = [entry.label for entry in entries]
    fit, chosen, test = parts()

    def accuracy(train: list[int], queries: list[int], l2: float) -> float:
        scaler = StandardScaler().fit(features[train])
        oracle = LogisticRegression(C=1 / (len(train) * l2), tol=1e-6, max_iter=5000)
        oracle.fit(scaler.transform(features[train]), [labels[row] for row in train])
        return 100 * oracle.score(scaler.transform(features[queries]), [labels[row] for row in queries])

    result = record["results"]["trained"]
    for candidate in result["candidates"]:
        assert candidate["validation"] == pytest.approx(
            accuracy(fit, chosen, candidate["l2"]), abs=100 / len(chosen) + 0.01
        )
    expected = accuracy(fit + chosen, test, result["chosen"])
    assert result["test"] == pytest.approx(expected, abs=100 / len(test) + 0.01)
    assert result["test"] > record["majority"]


def test_crops_are_those_of_torchvision_in_eval_mode(workspace: Workspace) -> None:
    from torchvision.transforms.v2 import functional as tv

    from miner.images.augment.crop import crop_boxes, draw_crops
    from miner.learning.randomness import generator_for

    backbone = load_backbone(workspace.run("moco"))
    source, entries = sample_entries(6)
    images = load_squares(source, entries, 40, 1, "decode")
    rows = torch.tensor([4, 1, 5])
    found = CropFeatures(backbone, images, 3, CPU)(rows, 7)
    draw = generator_for(3, "linear crops", 7)
    boxes = crop_boxes(draw_crops(3, AREA, draw), torch.tensor([[40, 40]]))
    flipped = torch.rand(3, generator=draw) < 0.5
    views = []
    for row, (top, left, height, width), flip in zip(rows, boxes.tolist(), flipped, strict=True):
        view = tv.resized_crop(images[row].float() / 255, top, left, height, width, [32, 32], antialias=True)
        views.append(tv.normalize(tv.horizontal_flip(view) if flip else view, list(backbone.mean), list(backbone.std)))
    with torch.no_grad():
        torch.testing.assert_close(found, backbone.module(torch.stack(views)), atol=1e-4, rtol=1e-3)
    assert not backbone.module.training


def test_a_run_of_an_earlier_version_is_evaluated_alike(workspace: Workspace, tmp_path: Path) -> None:
    before = record_of(workspace, "linear-augmented")
    copy = Workspace(tmp_path / "w")
    shutil.copytree(workspace.root, copy.root)
    run = copy.run("moco")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(
        text.replace("short_side", "canvas")
    )  # of the central squares that such a version held
    manifest = read_json(run / "manifest.json")
    manifest["files"]["config.yaml"] = file_record(run / "config.yaml")
    write_signed(run / "manifest.json", manifest)
    record = linear(AUGMENTED, copy, force=True).record
    assert "short_side" in text and record["results"] == before["results"]


@pytest.mark.parametrize("options", [FAST, AUGMENTED], ids=["fast", "augmented"])
def test_other_test_labels_change_no_choice(options: LinearOptions, workspace: Workspace, tmp_path: Path) -> None:
    names = dict(enumerate(("a", "b", "c", "d")))
    gallery = class_folders(tmp_path / "gallery", names)
    results = []
    for turn in (0, 1):
        turned = {label: names[(label + turn) % 4] for label in names}
        test = class_folders(tmp_path / f"test{turn}", turned, skip=140)
        changed = options.model_copy(update={"gallery": gallery, "test": test, "epochs": 1})
        results.append(linear(changed, workspace, force=True).record["results"])
    linear(options, workspace, force=True)
    for side in ("trained", "random"):
        straight, turned = (result[side] for result in results)
        assert straight["test"] != turned["test"]
        assert {**straight, "test": None} == {**turned, "test": None}


def test_a_rerun_skips_and_gives_the_same_bytes(workspace: Workspace) -> None:
    path = workspace.run("moco") / "eval" / "linear-augmented.json"
    before = path.read_bytes()
    again = linear(AUGMENTED, workspace)
    assert not again.fresh and "augmented: trained" in again.lines[0]
    assert linear(AUGMENTED, workspace, force=True).fresh and path.read_bytes() == before
    with pytest.raises(MinerError, match=r"epochs was 2 and is now 3.*--force"):
        linear(AUGMENTED.model_copy(update={"epochs": 3}), workspace)
    assert not linear(FAST.model_copy(update={"batch_size": 8}), workspace).fresh


def test_augmented_options_are_refused_in_fast_mode() -> None:
    with pytest.raises(UsageError, match="--epochs belongs to --mode augmented"):
        LinearOptions.parse({"epochs": 5})
    assert LinearOptions.parse({"mode": "augmented", "epochs": 5, "schedule": "step"}).epochs == 5


def test_too_few_images_to_hold_some_out_is_an_error(workspace: Workspace) -> None:
    with pytest.raises(MinerError, match=r"too few to hold some out.*--validation-fraction"):
        linear(FAST.model_copy(update={"validation_fraction": 1e-6}), workspace, force=True)
