"""`random:NAME`: the control of every comparison, without a download."""

import pytest
import torch

from miner.embed.encoder_name import parse_encoder
from miner.embed.encoders import load_encoder
from miner.errors import UsageError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "timm:resnet10t", "vicreg_resnet50"])
def test_random_weights_are_always_the_same(name) -> None:
    first, second = (load_encoder(f"random:{name}", CPU) for _ in range(2))
    assert first.weights_sha256 == second.weights_sha256 and first.labels_seen == "none"
    assert parse_encoder(f"random:{name}").random and not parse_encoder(name).random


def test_random_weights_keep_the_preprocessing() -> None:
    random, trained = (load_encoder(f"{how}efficientnet_lite0", CPU) for how in ("random:", ""))
    assert random.preprocess == trained.preprocess and random.weights_sha256 != trained.weights_sha256


def test_onnx_files_have_no_random_weights(tmp_path) -> None:
    file = tmp_path / "some.onnx"
    file.write_bytes(b"weights")
    with pytest.raises(UsageError, match="Give random:resnet50"):
        load_encoder(f"random:onnx:{file}", CPU)


def test_published_heads_have_no_random_weights() -> None:
    with pytest.raises(UsageError, match="its random weights are those of the backbone"):
        load_encoder("random:swav_resnet50", CPU, layer="projector")
