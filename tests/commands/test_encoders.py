"""The list of encoders agrees with the libraries that make them, and with what is installed."""

from pathlib import Path

import pytest
import torch

from miner.commands.encoders import KNOWN, encoders, weights_of
from miner.embed.encoders.registry import trainable_encoder
from miner.learning.networks import weights as module

LITE = [known for known in KNOWN if known.name.startswith("efficientnet")]
TIMM = [known for known in KNOWN if known.name.startswith("timm:")]


@pytest.mark.parametrize("known", TIMM, ids=lambda known: known.name)
def test_facts_are_those_of_timm(known) -> None:
    import timm

    name = known.name.removeprefix("timm:")
    with torch.device("meta"):
        network = timm.create_model(name, pretrained=False, num_classes=0)
    config = timm.get_pretrained_cfg(name)
    millions = round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 1)
    assert (known.width, known.parameters) == (network.num_features, millions)
    assert (known.pixels, known.licence) == (config.input_size[-1], config.license)
    assert config.hf_hub_id == f"timm/{name}"  # where `weights_of` looks for it


@pytest.mark.parametrize("known", [*LITE, KNOWN[3]], ids=lambda known: known.name)
def test_facts_are_those_of_the_encoder(known) -> None:
    encoder = trainable_encoder(f"random:{known.name}")
    named = encoder.network.named_parameters()  # EfficientNet-Lite keeps its classifier, which is not computed
    millions = round(sum(parameter.numel() for name, parameter in named if "_fc." not in name) / 1e6, 1)
    assert (known.width, known.pixels, known.parameters) == (encoder.dim, encoder.preprocess.crop, millions)


@pytest.mark.parametrize("variable", ["TORCH_HOME", "XDG_CACHE_HOME", "HOME"])
def test_weights_are_looked_for_where_they_are_kept(variable: str, monkeypatch, tmp_path) -> None:
    from torchvision.models import ResNet50_Weights

    for other in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    assert weights_of("efficientnet_lite0") == "installed" and weights_of("resnet50") == "to fetch"
    checkpoints = Path(torch.hub.get_dir(), "checkpoints")
    checkpoints.mkdir(parents=True)
    (checkpoints / ResNet50_Weights.DEFAULT.url.rpartition("/")[2]).touch()
    assert weights_of("resnet50") == "in the cache"


def test_listing_measures_only_if_asked(monkeypatch, capsys) -> None:
    monkeypatch.setattr("miner.commands.encoders._images_per_s", lambda name: None if "timm" in name else 1234.5)
    listed = encoders(measure=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(KNOWN) + 1 and "1,234" in lines[1] and "  -  " in lines[-1]
    assert [row["images_per_s"] for row in listed.record["encoders"]][::13] == [1234.5, None]
    assert encoders(measure=False, quiet=True).record["encoders"][0]["images_per_s"] is None
    assert not capsys.readouterr().out


def test_a_hub_without_address_is_not_asked_again_and_again(monkeypatch) -> None:
    from huggingface_hub import constants

    asked = []
    monkeypatch.setattr(module, "getproxies", dict)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: asked.append(1) or (_ for _ in ()).throw(OSError()))
    with module.fetching("timm:x"):
        assert constants.HF_HUB_OFFLINE and asked
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [])
    with module.fetching("timm:x"):
        assert not constants.HF_HUB_OFFLINE
