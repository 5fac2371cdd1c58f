"""Checkpoints in the layout of the official MoCo code."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.encoders import load_encoder
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError
from miner.pairs.calibration.run import calibrate
from miner.pairs.options import CalibrateOptions

CPU = torch.device("cpu")
PIXELS = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def query_encoder(arch: str = "resnet18", dim: int = 16) -> Any:
    """As MoCo v2 builds it: torchvision's network with an MLP for `fc`."""
    torch.manual_seed(0)
    network: Any = models.get_model(arch, num_classes=dim)
    width = network.fc.in_features
    network.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), network.fc)
    return network.eval()


def save_checkpoint(path: Path, query: nn.Module, prefix: str = "module.encoder_q.") -> Path:
    key = deepcopy(query)
    for parameter in key.parameters():
        parameter.data += 1
    state = {
        **{prefix + name: value for name, value in query.state_dict().items()},
        **{f"module.encoder_k.{name}": value for name, value in key.state_dict().items()},
        "module.queue": torch.zeros(16, 32),
        "module.queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    optimizer = torch.optim.SGD(query.parameters(), lr=0.1, momentum=0.9)
    torch.save({"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": optimizer.state_dict()}, path)
    return path


@pytest.mark.parametrize("prefix", ["module.encoder_q.", "module.base_encoder."])
def test_backbone_and_projector_of_the_query_encoder(prefix: str, tmp_path: Path) -> None:
    query = query_encoder()
    name = f"moco:{save_checkpoint(tmp_path / 'moco_v2.pth.tar', query, prefix)}"
    backbone, projector = load_encoder(name, CPU), load_encoder(name, CPU, layer="projector")
    with torch.inference_mode():
        images = backbone.preprocess.normalise(PIXELS)
        head = nn.functional.normalize(query(images))
        query.fc = nn.Identity()
        features = nn.functional.normalize(query(images))
    torch.testing.assert_close(projector.encode(PIXELS, torch.float32), head, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(backbone.encode(PIXELS, torch.float32), features, atol=1e-5, rtol=1e-4)
    random = load_encoder(f"random:{name}", CPU)
    assert random.dim == backbone.dim and random.weights_sha256 != backbone.weights_sha256
    assert (backbone.dim, projector.dim) == (512, 16)
    assert backbone.record()["labels_seen"].startswith("none")


def test_the_official_shape(tmp_path: Path) -> None:
    name = f"moco:{save_checkpoint(tmp_path / 'moco_v2.pth.tar', query_encoder('resnet50', 128))}"
    assert load_encoder(name, CPU, layer="projector").dim == 128


def test_a_plain_state_dict_is_no_moco_checkpoint(tmp_path: Path) -> None:
    torch.save(models.resnet18().state_dict(), tmp_path / "plain.pth")
    with pytest.raises(MinerError, match=r"no encoder_q.*resnet50@FILE"):
        load_encoder(f"moco:{tmp_path / 'plain.pth'}", CPU)


def test_embed_and_calibrate_use_the_same_layer(make_photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save_checkpoint(tmp_path / "moco_v2.pth.tar", query_encoder())
    workspace = Workspace(tmp_path / "w")
    options = EmbedOptions(source=str(make_photos(count=10)), encoder=f"moco:{file}", layer="projector", device="cpu")
    record = embed(options, workspace).record
    assert record["dim"] == EmbeddingStore(workspace).vectors.shape[1] == 16
    assert record["request"]["layer"] == record["encoder"]["layer"] == "projector"
    asked = []
    monkeypatch.setattr(
        "miner.embed.encoders.embedded.load_encoder",
        lambda *args: asked.append(args[2:]) or load_encoder(*args),
    )
    calibrate(CalibrateOptions(images=8, device="cpu"), workspace)
    assert asked == [("projector", "auto")]
    with pytest.raises(MinerError, match="--layer was projector and is now not given"):
        embed(options.model_copy(update={"layer": "backbone"}), workspace)
    save_checkpoint(file, query_encoder(dim=17))
    with pytest.raises(MinerError, match="has other weights than when the images were embedded"):
        calibrate(CalibrateOptions(images=9, device="cpu"), workspace, force=True)
    with pytest.raises(MinerError, match="the files of the encoder are others"):
        embed(options, workspace)
