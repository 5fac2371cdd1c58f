import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from miner.artifacts.runs.inputs import find_inputs
from miner.artifacts.runs.labelled import is_held_out
from miner.artifacts.runs.networks import load_backbone
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError, UsageError
from miner.evaluate.knn import measure_knn
from miner.evaluate.options import KnnOptions
from miner.evaluate.run import knn
from miner.evaluate.setup import open_setup
from miner.images.loading import load_squares
from miner.learning.networks.backbones import build_backbone
from miner.train.methods.contrastive.moco import MoCo
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.train.mini_workspace import TINY_RUN, sample_entries, write_shards


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace of 160 labelled images with a finished run `moco`, evaluated."""
    workspace = write_shards(tmp_path_factory.mktemp("knn"), images=160, pairs=40)
    train(TrainOptions(**{**TINY_RUN, "epochs": 1, "batch_size": 16}), workspace)
    assert knn(KnnOptions(device="cpu"), workspace).fresh
    return workspace


def record_of(workspace: Workspace) -> dict:
    return json.loads((workspace.run("moco") / "eval/knn.json").read_text())


def test_the_record_holds_every_setting(workspace: Workspace) -> None:
    record = record_of(workspace)
    assert record["n_gallery"] + record["n_test"] == 160 and record["classes"] == 10
    assert [(r["k"], r["k_asked"], r["temperature"]) for r in record["results"]] == [
        (record["n_gallery"], 200, 0.1),
        (20, 20, 0.07),
    ]
    assert record["layer"] == "backbone, pooled" and "32 px" in record["resize"]
    assert record["queries_seen_unlabelled"] and record["test_origin"] == "held out by key"
    assert record["class_names"][9] == "Ankle boot"


def test_the_classes_weighed_by_their_test_images_give_the_accuracy(workspace: Workspace) -> None:
    record = record_of(workspace)
    _, entries = sample_entries(160)
    held_out = Counter(record["class_names"][entry.label] for entry in entries if is_held_out(entry.key, 0.2))
    assert {*record["per_class"]} == {*held_out} and len(held_out) > 5
    right = sum(share * held_out[name] for name, share in record["per_class"].items())
    assert right / held_out.total() == pytest.approx(record["results"][0]["trained"], abs=0.01)


def test_accuracies_equal_a_naive_loop_over_the_features(workspace: Workspace) -> None:
    record = record_of(workspace)
    backbone = load_backbone(workspace.run("moco"))
    source, entries = sample_entries(160)
    pixels = load_squares(source, entries, 32, 1, "decode") / 255.0
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (backbone.mean, backbone.std))
    with torch.no_grad():
        features = torch.nn.functional.normalize(backbone.module((pixels - mean) / std), dim=1)
    test = [row for row, entry in enumerate(entries) if is_held_out(entry.key, 0.2)]
    gallery = [row for row in range(160) if row not in test]
    for result in record["results"]:
        right = 0
        for row in test:
            cosines = {other: float(features[row] @ features[other]) for other in gallery}
            votes = [0.0] * 10
            for other in sorted(gallery, key=lambda other: -cosines[other])[: result["k"]]:
                votes[entries[other].label] += 2.718281828 ** (cosines[other] / result["temperature"])
            right += votes.index(max(votes)) == entries[row].label
        assert result["trained"] == pytest.approx(100 * right / len(test), abs=100 / len(test) + 1e-3)
    labels = [entries[row].label for row in gallery]
    most = min(set(labels), key=lambda label: (-labels.count(label), label))
    expected = 100 * sum(entries[row].label == most for row in test) / len(test)
    assert record["majority"] == pytest.approx(expected, abs=1e-3)


def test_the_crop_of_papers_is_in_the_request_and_the_record(workspace: Workspace) -> None:
    before, asked = record_of(workspace), KnnOptions(device="cpu", test_crop=0.875)
    assert "test_crop" not in before["request"]  # records of earlier versions stay valid
    with pytest.raises(MinerError, match="--test-crop"):
        knn(asked, workspace)
    inputs = find_inputs(workspace, with_pairs=False)
    record, setup = measure_knn(asked, workspace.run("moco"), inputs), open_setup(asked, workspace.run("moco"), inputs)
    assert record["resize"] == "shorter side to 37 px (bilinear, antialias), centre crop of 32 px"
    source, entries = sample_entries(160)
    cropped = load_squares(source, entries, 32, 1, "decode", crop=0.875)
    squares = {entry.key: square for entry, square in zip(entries, cropped, strict=True)}
    for images, found in zip((setup.split.gallery, setup.split.test), setup.pixels(1), strict=True):
        assert torch.equal(found, torch.stack([squares[entry.key] for entry in images.entries]))
    assert asked.request()["test_crop"] == 0.875


def test_the_projector_is_judged_beside_the_backbone(workspace: Workspace) -> None:
    run, record = workspace.run("moco"), knn(KnnOptions(device="cpu", layer="projector"), workspace).record
    assert record["layer"] == "projector, output" and (run / "eval/knn-projector.json").exists()
    inputs = find_inputs(workspace, with_pairs=False)
    setup = open_setup(KnnOptions(device="cpu"), run, inputs, layer="projector")
    pixels, head = setup.pixels(1)[0], load_file(run / "projector.safetensors")
    hidden = torch.relu(
        open_setup(KnnOptions(device="cpu"), run, inputs).pooled("trained", pixels, 64) @ head["0.weight"].T
        + head["0.bias"]
    )
    expected = hidden @ head["2.weight"].T + head["2.bias"]
    assert expected.shape[1] == TINY_RUN["dim"]
    torch.testing.assert_close(setup.pooled("trained", pixels, 64), expected, atol=1e-5, rtol=1e-4)
    # The random network is the one that the run started from, head and all.
    backbone, width = build_backbone(setup.trained.config)
    start = MoCo(backbone, width, dim=16, queue_size=32, momentum=0.9, temperature=0.1, symmetric=False, seed=0)
    torch.testing.assert_close(setup.backbones["random"].module[1].state_dict(), dict(start.head.state_dict()))
    with pytest.raises(UsageError, match="--layer projector has no meaning with --best"):
        KnnOptions.parse({"layer": "projector", "best": True})


def test_the_same_request_returns_at_once_without_torch(workspace: Workspace) -> None:
    code = (
        "import sys; from pathlib import Path; from miner.evaluate.run import knn; "
        "from miner.evaluate.options import KnnOptions; from miner.artifacts.workspace import Workspace; "
        f"result = knn(KnnOptions(), Workspace(Path({str(workspace.root)!r}))); "
        "print(result.fresh, 'torch' in sys.modules); print(result.lines[0])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, line = answer.stdout.splitlines()
    assert first.split() == ["False", "False"]
    assert line.startswith("eval knn: k=") and "T=0.1: trained" in line and "(gallery" in line


def test_another_request_needs_force(workspace: Workspace) -> None:
    before = record_of(workspace)
    options = KnnOptions(test_fraction=0.5, device="cpu")
    with pytest.raises(MinerError, match="--force"):
        knn(options, workspace)
    assert record_of(workspace) == before
    assert knn(options, workspace, force=True).record["n_test"] > before["n_test"]
    knn(KnnOptions(device="cpu"), workspace, force=True)
    assert record_of(workspace) == before


def test_a_named_gallery_needs_no_images_in_the_workspace(workspace: Workspace, tmp_path: Path) -> None:
    lonely = Workspace(tmp_path)
    lonely.run("moco").parent.mkdir()
    lonely.run("moco").symlink_to(workspace.run("moco"))
    options = KnnOptions(gallery="sample", limit=100, device="cpu")
    record = knn(options, lonely, force=True).record
    assert record["n_gallery"] + record["n_test"] == 100 and record["queries_seen_unlabelled"]
    knn(KnnOptions(device="cpu"), workspace, force=True)
