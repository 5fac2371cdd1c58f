from pathlib import Path

import pytest

from miner.embed.encoder_name import ARITHMETIC, FAMILIES, FAMILIES_HELP, EncoderName, encoder_request, parse_encoder
from miner.embed.encoders import efficientnet_lite
from miner.embed.encoders.published import PUBLISHED
from miner.embed.options import EmbedOptions


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("efficientnet_lite0", EncoderName("", "efficientnet_lite0", None)),
        ("resnet50:IMAGENET1K_V1", EncoderName("", "resnet50:IMAGENET1K_V1", None)),
        ("resnet50:IMAGENET1K_V1@a.pth", EncoderName("", "resnet50:IMAGENET1K_V1", Path("a.pth"))),
        ("timm:vit_small_patch14_dinov2.lvd142m", EncoderName("timm", "vit_small_patch14_dinov2.lvd142m", None)),
        ("timm:resnet18@b@c.pth", EncoderName("timm", "resnet18", Path("b@c.pth"))),
        ("moco:m@2/moco_v2.pth.tar", EncoderName("moco", "", Path("m@2/moco_v2.pth.tar"))),
        ("run:w/runs/moco", EncoderName("run", "", Path("w/runs/moco"))),
    ],
)
def test_the_parts_of_a_name(name: str, parts: EncoderName) -> None:
    assert parse_encoder(name) == parts


def test_the_help_names_everything_there_is() -> None:
    names = [*efficientnet_lite.NAMES, *PUBLISHED, *(f"{family}:" for family in FAMILIES if family != "script")]
    assert [name for name in names if name not in FAMILIES_HELP] == []


def test_the_defaults_add_the_arithmetic_alone_to_the_request() -> None:
    request = encoder_request(EmbedOptions(source="sample"))
    assert request["arithmetic"] == ARITHMETIC
    assert not {"layer", "pool", "draft", "compile", "encoder_files"} & request.keys()


def test_what_changes_vectors_is_in_the_request() -> None:
    options = EmbedOptions(source="sample", draft=2, compile=True, pool="max")
    request = encoder_request(options)
    assert (request["draft"], request["compile"], request["pool"]) == (2.0, True, "max")


def test_the_bytes_of_a_local_file_are_part_of_the_request(tmp_path: Path) -> None:
    file = tmp_path / "moco.pth"
    file.write_bytes(b"one")
    options = EmbedOptions(source="sample", encoder=f"moco:{file}", layer="projector")
    before = encoder_request(options)
    file.write_bytes(b"two")
    assert before["layer"] == "projector" and encoder_request(options) != before


def test_a_run_is_known_by_its_backbone(tmp_path: Path) -> None:
    for name in ("backbone.safetensors", "backbone-best.safetensors", "config.yaml"):
        (tmp_path / name).write_bytes(b"one")
    for encoder, file in ((tmp_path, "backbone"), (tmp_path / "backbone-best.safetensors", "backbone-best")):
        options = EmbedOptions(source="sample", encoder=f"run:{encoder}")
        (tmp_path / "config.yaml").write_bytes(b"one")
        before = encoder_request(options)
        assert list(before["encoder_files"]) == [f"{file}.safetensors", "config.yaml"]
        (tmp_path / "config.yaml").write_bytes(b"two")
        assert encoder_request(options, before) != before
        old = {"encoder_files": {f"{file}.safetensors": "of an older version"}}
        assert list(encoder_request(options, old)["encoder_files"]) == [f"{file}.safetensors"]


def test_what_lies_beside_an_onnx_file_counts(tmp_path: Path) -> None:
    for name in ("m.onnx", "m.onnx.data", "m.onnx.json"):
        (tmp_path / name).write_bytes(name.encode())
    request = encoder_request(EmbedOptions(source="sample", encoder=f"onnx:{tmp_path / 'm.onnx'}"))
    assert list(request["encoder_files"]) == ["m.onnx", "m.onnx.data", "m.onnx.json"]
