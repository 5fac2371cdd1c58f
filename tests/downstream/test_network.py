"""The network that an evaluation judges, whatever its origin."""

import json
from pathlib import Path

import pytest
import torch

from miner.artifacts.runs.labelled import LabelledImages
from miner.artifacts.workspace import Workspace
from miner.downstream.network import encoded_features, file_label, find_network, load_pixels
from miner.errors import MinerError, UsageError
from miner.evaluate.network_options import NetworkOptions
from tests.artifacts.manifests import run_record
from tests.train.mini_workspace import sample_entries


def asked(**values: object) -> NetworkOptions:
    return NetworkOptions.parse(values)


def finished_run(workspace: Workspace, name: str) -> Path:
    folder = workspace.run(name)
    folder.mkdir(parents=True)
    made = {**run_record("dino"), "files": {"teacher.safetensors": {}}}
    (folder / "manifest.json").write_text(json.dumps(made))
    return folder


def test_records_of_a_run_lie_in_its_folder(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    run = finished_run(workspace, "moco")
    student, teacher = (find_network(asked(teacher=which), workspace) for which in (False, True))
    assert (student.encoder, student.folder, student.ending) == (f"run:{run}", run / "eval", "")
    assert (teacher.encoder, teacher.ending) == (f"run:{run}/teacher.safetensors", "-teacher")
    with pytest.raises(MinerError, match="moco kept no best weights: it was trained without --knn-epochs"):
        find_network(asked(best=True), workspace)
    other = find_network(asked(network="timm:test_resnet@some/file.pth"), workspace)
    assert (other.folder, other.ending) == (tmp_path / "eval", "-timm-test_resnet-some-file.pth")


def test_two_networks_are_refused() -> None:
    for values in ({"network": "resnet18", "teacher": True}, {"best": True, "teacher": True}):
        with pytest.raises(UsageError, match="name two networks"):
            asked(**values)


def test_features_keep_their_length_and_order(tmp_path: Path) -> None:
    network = find_network(asked(network="random:timm:test_resnet"), Workspace(tmp_path))
    encoder, images = network.open(), LabelledImages(*sample_entries(5), "sample")
    found = encoded_features(encoder, images, 2, torch.device("cpu"), 1)
    pixels = load_pixels(images, encoder.preprocess, 1).permute(0, 2, 3, 1)
    with torch.no_grad():
        expected = encoder.network(encoder.preprocess.normalise(pixels))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found.norm(dim=1), torch.ones(5), atol=0.1)
    same = network.open(random=True)
    assert network.describe(encoder) == network.describe(same)


def test_long_name_gives_a_short_label_of_its_own() -> None:
    one, two = (file_label(f"/data/{'long' * 60}/{letter}/test") for letter in "ab")
    assert one != two and len(one) < 40 and one.endswith("-test")
    assert file_label("/data/ключи") == "-data-ключи"
    assert len(file_label("ключ" * 20).encode()) < 80
