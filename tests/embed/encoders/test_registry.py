import pickle
import urllib.error

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from miner.embed.encoders import load_encoder
from miner.embed.encoders.base import weights_sha256
from miner.errors import MinerError, UsageError
from miner.learning.networks.weights import load_state

CPU = torch.device("cpu")


@pytest.fixture
def resnet_file(tmp_path):
    torch.manual_seed(0)
    network = models.resnet18().eval()
    path = tmp_path / "resnet18.safetensors"
    save_file(network.state_dict(), path)
    return network, path


def test_default_encoder_works_offline_and_gives_unit_vectors() -> None:
    encoder = load_encoder("efficientnet_lite0", CPU)
    pixels = torch.randint(0, 256, (3, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    vectors = encoder.encode(pixels, torch.float32)
    assert vectors.shape == (3, 1280)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    one_by_one = torch.cat([encoder.encode(row[None], torch.float32) for row in pixels])
    torch.testing.assert_close(vectors, one_by_one, atol=1e-5, rtol=1e-4)


def test_checkpoint_gives_the_features_before_the_classifier(resnet_file) -> None:
    network, path = resnet_file
    encoder = load_encoder(f"resnet18@{path}", CPU)
    pixels = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network.fc = torch.nn.Identity()
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(network(encoder.preprocess.normalise(pixels)))
    torch.testing.assert_close(encoder.encode(pixels, torch.float32), expected, atol=1e-5, rtol=1e-4)


def test_timm_checkpoint_with_wrapped_names(tmp_path) -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=7)
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "trained.pth")
    encoder = load_encoder(f"timm:resnet10t@{tmp_path / 'trained.pth'}", CPU)
    network.reset_classifier(0)
    assert encoder.weights_sha256 == weights_sha256(network)
    assert encoder.preprocess.crop == 176


def test_images_without_a_direction_become_nan(resnet_file) -> None:
    encoder = load_encoder(f"resnet18@{resnet_file[1]}", CPU)
    for parameter in encoder.network.parameters():
        parameter.data.zero_()
    assert encoder.encode(torch.zeros(1, 224, 224, 3, dtype=torch.uint8), torch.float32).isnan().all()


@pytest.mark.parametrize(
    ("name", "message"),
    [("resnet81", "Did you mean"), ("timm:nonsense_model", "no model"), ("resnet18@/nowhere/x.pt", "no file")],
)
def test_unknown_encoder_is_explained(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_encoder(name, CPU)


def test_weights_of_another_architecture_are_refused(resnet_file) -> None:
    with pytest.raises(MinerError, match="does not fit"):
        load_encoder(f"resnet50@{resnet_file[1]}", CPU)


def test_without_a_network_the_way_out_is_named(monkeypatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(MinerError, match="efficientnet_lite0"):
        load_encoder("resnet18", CPU)


def test_checkpoints_never_run_code(tmp_path) -> None:
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "hacked"), "w"))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"state_dict": Payload()}))
    torch.save({"state_dict": Payload()}, tmp_path / "evil.pth")
    for name in ("evil.pt", "evil.pth"):
        with pytest.raises(MinerError, match="never runs code"):
            load_state(tmp_path / name)
    assert not (tmp_path / "hacked").exists()
