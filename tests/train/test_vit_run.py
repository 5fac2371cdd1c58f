"""A vision transformer through training, evaluation and embedding."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.runs.networks import load_backbone
from miner.artifacts.workspace import Workspace
from miner.embed.encoders import load_encoder
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import UsageError
from miner.evaluate.options import KnnOptions
from miner.evaluate.run import knn
from miner.images.loading import load_squares
from miner.learning.features import pooled_features
from miner.train.data.batch import Batch
from miner.train.methods.dino import DINO
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.train.mini_workspace import TINY_RUN, sample_entries, write_shards

CPU = torch.device("cpu")
OPTIONS = {
    **{name: value for name, value in TINY_RUN.items() if name != "stem"},
    **{
        "backbone": "vit_tiny",
        "patch_size": 16,
        "attention_heads": 6,
        "drop_path": 0.3,
        "epochs": 1,
        "precision": "fp32",
    },
    **{"method": "dino", "local_crops": 2, "local_size": 16, "hidden_dim": 24, "checkpoint_steps": 3},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = write_shards(tmp_path_factory.mktemp("vit"), images=48, pairs=16)
    train(TrainOptions(**OPTIONS), workspace)
    return workspace


def test_the_weights_load_strictly_into_timms_network(trained: Workspace) -> None:
    state = load_file(trained.run("dino") / "backbone.safetensors")
    described = json.loads((trained.run("dino") / "config.json").read_text())
    assert described["model_args"] == {"img_size": 32, "patch_size": 16, "num_heads": 6}
    twin = timm.create_model(described["architecture"], num_classes=0, **described["model_args"]).eval()
    assert [block.attn.num_heads for block in twin.blocks] == [6] * 12
    twin.load_state_dict(state, strict=True)
    backbone = load_backbone(trained.run("dino"))
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(backbone.module(images), twin(images))
    assert backbone.config["patch_size"] == 16 and "stem" not in backbone.config
    crops = {"augmentation": "plain", "least_area": 0.4, "local_crops": 2, "local_size": 16}
    assert {name: backbone.config[name] for name in crops} == crops


def test_killed_and_resumed_it_skips_the_same_blocks(
    trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = write_shards(tmp_path, images=48, pairs=16)
    forward, seen = DINO.forward, []

    def killed(method: DINO, batch: Batch) -> dict[str, torch.Tensor]:
        seen.append(batch)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return forward(method, batch)

    monkeypatch.setattr(DINO, "forward", killed)
    with pytest.raises(KeyboardInterrupt):
        train(TrainOptions(**OPTIONS), again)
    torch.manual_seed(99)
    train(TrainOptions(**OPTIONS), again)
    assert len(seen) == 5 + 8 - 3
    whole, resumed = ((workspace.run("dino") / "backbone.safetensors").read_bytes() for workspace in (trained, again))
    assert whole == resumed


def test_it_is_evaluated_and_embeds(trained: Workspace, tmp_path: Path) -> None:
    record = knn(KnnOptions(device="cpu"), trained).record
    assert record["results"][0]["trained"] > 0
    encoder, target = f"run:{trained.run('dino')}", Workspace(tmp_path)
    embed(
        EmbedOptions(source="sample", encoder=encoder, limit=16, dtype="float32", precision="fp32", device="cpu"),
        target,
    )
    backbone = load_backbone(trained.run("dino"))
    source, entries = sample_entries(16)
    pixels = load_squares(source, entries, 32, 1, "decode")
    features = pooled_features(
        backbone.module, pixels, backbone.mean, backbone.std, batch_size=16, device=CPU, title=None
    )
    expected = torch.nn.functional.normalize(features)
    np.testing.assert_allclose(EmbeddingStore(target).vectors, expected.numpy(), atol=2e-5)
    assert load_encoder(encoder, CPU, pool="avg").dim == load_encoder(encoder, CPU, pool="cls").dim == 192


def test_a_view_that_is_not_made_of_whole_patches_is_refused(trained: Workspace) -> None:
    with pytest.raises(UsageError, match="no multiple of the patch size 12"):
        train(TrainOptions(**{**OPTIONS, "patch_size": 12, "name": "odd"}), trained)
