"""A run of `miner train` as the encoder of another round."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.runs.networks import load_backbone, starting_backbone
from miner.artifacts.workspace import Workspace
from miner.embed.encoders import load_encoder
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError, UsageError
from miner.images.loading import load_squares
from miner.learning.features import pooled_features
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.train.mini_workspace import TINY_RUN, kept_checkpoint, sample_entries, write_shards

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with shards, a run `moco` on their pairs and a run `control` without."""
    workspace = write_shards(tmp_path_factory.mktemp("run_encoder"), images=24, pairs=8)
    manifest = workspace.shards / "manifest.json"
    mined_by = {
        "encoder": {"name": "run:/home/someone/runs/some_encoder", "labels_seen": "ImageNet-1k (1,000 classes)"}
    }
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **mined_by}))
    with kept_checkpoint():
        train(TrainOptions(**{**TINY_RUN, "epochs": 1}), workspace)
    train(TrainOptions(**{**TINY_RUN, "epochs": 1, "stem": "cifar"}, pairs_arm="none", name="control"), workspace)
    return workspace


@pytest.mark.parametrize("name", ["moco", "control"])
def test_vectors_are_the_features_that_eval_measures(name: str, trained: Workspace, tmp_path: Path) -> None:
    run, target = trained.run(name), Workspace(tmp_path)
    options = EmbedOptions(
        source="sample", encoder=f"run:{run}", limit=24, dtype="float32", precision="fp32", device="cpu"
    )
    embed(options, target)
    backbone = load_backbone(run)
    source, entries = sample_entries(24)
    pixels = load_squares(source, entries, backbone.image_size, 1, "decode")
    features = pooled_features(
        backbone.module, pixels, backbone.mean, backbone.std, batch_size=24, device=CPU, title=None
    )
    expected = torch.nn.functional.normalize(features)
    np.testing.assert_allclose(EmbeddingStore(target).vectors, expected.numpy(), atol=2e-5)


def test_the_projector_is_the_trained_head_without_a_checkpoint(trained: Workspace) -> None:
    run = trained.run("moco")
    encoder = load_encoder(f"run:{run}", CPU, layer="projector")
    head = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["method"]
    shutil.rmtree(run / "checkpoints")
    pixels = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        features = load_backbone(run).module(encoder.preprocess.normalise(pixels))
        hidden = torch.relu(features @ head["head.0.weight"].T + head["head.0.bias"])
        expected = torch.nn.functional.normalize(hidden @ head["head.2.weight"].T + head["head.2.bias"])
    torch.testing.assert_close(encoder.encode(pixels, torch.float32), expected, atol=1e-5, rtol=1e-4)
    assert encoder.dim == TINY_RUN["dim"]


def test_dinos_projector_has_its_activation_and_no_prototypes(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, images=24, pairs=8)
    train(TrainOptions(**{**TINY_RUN, "epochs": 1}, method="dino", hidden_dim=16), workspace)
    run = workspace.run("dino")
    encoder = load_encoder(f"run:{run}", CPU, layer="projector")
    layers = [type(layer) for layer in encoder.network[1]]
    assert torch.nn.GELU in layers and torch.nn.ReLU not in layers and encoder.dim == 256
    teacher, expected = load_encoder(f"run:{run}/teacher.safetensors", CPU), load_backbone(run, "teacher.safetensors")
    black = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    features = torch.nn.functional.normalize(expected.module(teacher.preprocess.normalise(black)))
    torch.testing.assert_close(teacher.encode(black, torch.float32), features, atol=1e-5, rtol=1e-4)


def test_labels_that_came_in_with_the_pairs_are_named(trained: Workspace) -> None:
    seen = load_encoder(f"run:{trained.run('moco')}", CPU).labels_seen
    assert (
        seen == "none by training; its 8 pairs were mined by run:some_encoder, labels seen: ImageNet-1k (1,000 classes)"
    )
    assert load_encoder(f"run:{trained.run('control')}", CPU).labels_seen == "none"


def test_a_run_away_from_its_workspace_has_an_unknown_encoder(trained: Workspace, tmp_path: Path) -> None:
    moved = shutil.copytree(trained.run("moco"), tmp_path / "elsewhere" / "runs" / "moco")
    assert load_encoder(f"run:{moved}", CPU).labels_seen.endswith("mined by an encoder that is no longer on record")


def test_pairs_mined_anew_do_not_name_their_encoder_to_old_runs(trained: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(Path(shutil.copytree(trained.root, tmp_path / "w")))
    manifest = json.loads((workspace.shards / "manifest.json").read_text())
    manifest["files"]["pairs.parquet"]["sha256"] = "of other pairs"
    (workspace.shards / "manifest.json").write_text(json.dumps(manifest))
    seen = load_encoder(f"run:{workspace.run('moco')}", CPU).labels_seen
    assert seen.endswith("mined by an encoder that is no longer on record")


def test_what_is_not_a_whole_run_is_explained(trained: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        load_encoder("run:/nowhere/moco", CPU)
    copy = shutil.copytree(trained.run("moco"), tmp_path / "moco")
    projector = copy / "projector.safetensors"
    projector.write_bytes(projector.read_bytes()[:-1] + b"?")
    with pytest.raises(MinerError, match=r"projector\.safetensors is missing or damaged"):
        load_encoder(f"run:{copy}", CPU, layer="projector")
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["projector.safetensors"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="its run kept none"):
        load_encoder(f"run:{copy}", CPU, layer="projector")
    assert load_encoder(f"run:{copy}", CPU).dim == 512
    (copy / "manifest.json").unlink()
    with pytest.raises(MinerError, match="has not finished"):
        load_encoder(f"run:{copy}", CPU)


def test_a_random_run_has_the_weights_it_started_from(trained: Workspace) -> None:
    run = trained.run("moco")
    encoder, start = load_encoder(f"random:run:{run}", CPU), starting_backbone(run)
    pixels = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.normalize(start.module(encoder.preprocess.normalise(pixels)))
    torch.testing.assert_close(encoder.encode(pixels, torch.float32), expected, atol=1e-5, rtol=1e-4)


def test_a_run_without_teacher_names_what_is_missing(trained: Workspace) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*teacher.safetensors"):
        load_encoder(f"run:{trained.run('moco')}/teacher.safetensors", CPU)
