from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from miner.embed.encoders import load_encoder
from miner.embed.encoders.timm_zoo import timm_preprocess
from miner.errors import MinerError, UsageError
from tests.embed.photographs import clothing

CPU = torch.device("cpu")
CONFIG = {"input_size": (3, 96, 96), "interpolation": "bicubic", "mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28)}


def saved(name: str, folder: Path) -> tuple[torch.nn.Module, str]:
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=5).eval()
    for parameter in network.parameters():  # some tokens and scales start at zero, which would hide what is pooled
        parameter.data += torch.randn_like(parameter) * 0.02
    torch.save(network.state_dict(), folder / "weights.pth")
    return network, f"timm:{name}@{folder / 'weights.pth'}"


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("crop_pct", [0.875, 1.0])
@pytest.mark.parametrize("size", [(160, 213), (213, 160), (96, 96), (30, 50), (333, 40)])
def test_same_pixels_as_timm(mode: str, crop_pct: float, size: tuple[int, int]) -> None:
    config = {**CONFIG, "crop_mode": mode, "crop_pct": crop_pct}
    transform = create_transform(**config, is_training=False, normalize=False)
    image = noise(*size)
    np.testing.assert_array_equal(timm_preprocess("x", config).pixels(image), transform(image).permute(1, 2, 0).numpy())


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_same_pixels_as_timm_on_photographs(mode: str) -> None:
    config = {**CONFIG, "crop_mode": mode, "crop_pct": 0.9}
    transform, ours = create_transform(**config, is_training=False, normalize=False), timm_preprocess("x", config)
    for image in clothing():
        np.testing.assert_array_equal(ours.pixels(image), transform(image).permute(1, 2, 0).numpy())


@pytest.mark.parametrize("family", ["dinov2", "dinov3", "siglip", "clip", "vit_tiny", "resnet50"])
def test_configurations_of_a_family_give_the_pixels_of_timm(family: str) -> None:
    configs = [timm.get_pretrained_cfg(name).to_dict() for name in timm.list_pretrained(f"*{family}*")]
    resolved = {repr(data): data for data in (resolve_data_config({}, pretrained_cfg=config) for config in configs)}
    image = noise(120, 90)
    for config in resolved.values():
        transform = create_transform(**config, is_training=False, normalize=False)
        ours = timm_preprocess(family, config).pixels(image)
        np.testing.assert_array_equal(ours, transform(image).permute(1, 2, 0).numpy(), err_msg=str(config))


@pytest.mark.parametrize(
    "change",
    [{"crop_mode": "tiles"}, {"input_size": (3, 96, 128)}, {"input_size": (1, 96, 96)}, {"interpolation": "random"}],
)
def test_other_preprocessing_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(MinerError, match="does not offer"):
        timm_preprocess("x", {**CONFIG, "crop_mode": "center", "crop_pct": 0.9, **change})


def test_tokens_are_pooled_as_asked(tmp_path: Path) -> None:
    network, name = saved("vit_tiny_patch16_224", tmp_path)
    pixels = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    encoders = {pool: load_encoder(name, CPU, pool=pool) for pool in ("auto", "cls", "avg", "max")}
    with torch.inference_mode():
        tokens = network.forward_features(encoders["auto"].preprocess.normalise(pixels))
    expected = {"auto": tokens[:, 0], "cls": tokens[:, 0], "avg": tokens[:, 1:].mean(1), "max": tokens[:, 1:].amax(1)}
    for pool, encoder in encoders.items():
        vectors = encoder.encode(pixels, torch.float32)
        torch.testing.assert_close(vectors, torch.nn.functional.normalize(expected[pool]), atol=1e-5, rtol=1e-4)
        assert encoder.dim == 192


def test_feature_maps_are_pooled_as_asked(tmp_path: Path) -> None:
    network, name = saved("resnet10t", tmp_path)
    encoder = load_encoder(name, CPU, pool="max")
    pixels = torch.randint(0, 256, (2, 176, 176, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.forward_features(encoder.preprocess.normalise(pixels)).amax((2, 3))
    vectors = encoder.encode(pixels, torch.float32)
    torch.testing.assert_close(vectors, torch.nn.functional.normalize(expected), atol=1e-5, rtol=1e-4)


def test_a_model_without_pooling_must_be_told_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool="").eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    encoder = load_encoder(f"timm:vit_tiny_patch16_224@{tmp_path / 'weights.pth'}", CPU)
    encoder.network.reset_classifier(0, global_pool="")
    with pytest.raises(MinerError, match=r"gives \(197, 192\) per image.*--pool avg"):
        encoder.encode(torch.zeros(1, 224, 224, 3, dtype=torch.uint8), torch.float32)


def test_what_cannot_be_is_refused_with_the_reason(tmp_path: Path) -> None:
    _, name = saved("resnet10t", tmp_path)
    with pytest.raises(UsageError, match="no class token"):
        load_encoder(name, CPU, pool="cls")
    with pytest.raises(UsageError, match="no projector"):
        load_encoder(name, CPU, layer="projector")


def test_offline_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("We couldn't connect to the hub")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", unreachable)
    with pytest.raises(MinerError, match=r"elsewhere and name timm:resnet18\.a1_in1k@FILE"):
        load_encoder("timm:resnet18.a1_in1k", CPU)
