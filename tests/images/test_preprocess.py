from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models, transforms
from torchvision.transforms import InterpolationMode

from miner.embed.encoders.base import EncoderRequest
from miner.embed.encoders.torchvision_zoo import torchvision_encoder
from miner.images.loading import load_squares
from miner.images.preprocess import Preprocess
from miner.source import open_source
from tests.images.noise import noise


@pytest.mark.parametrize("size", [(50, 80), (81, 50), (32, 32), (64, 64), (300, 20)])
@pytest.mark.parametrize(
    ("name", "mode"), [("bilinear", InterpolationMode.BILINEAR), ("bicubic", InterpolationMode.BICUBIC)]
)
def test_same_pixels_as_torchvision(size: tuple[int, int], name: str, mode: InterpolationMode) -> None:
    reference = transforms.Compose([transforms.Resize(64, mode), transforms.CenterCrop(56)])
    image = noise(*size)
    ours = Preprocess(64, 56, name, (0.5,) * 3, (0.5,) * 3).pixels(image)
    np.testing.assert_array_equal(ours, np.asarray(reference(image)))


def test_whole_transform_agrees_with_the_one_of_the_weights(tmp_path) -> None:
    weights = models.get_model_weights("resnet18").DEFAULT
    torch.save(models.resnet18().state_dict(), tmp_path / "resnet18.pt")
    preprocess = torchvision_encoder(EncoderRequest("", "resnet18", tmp_path / "resnet18.pt")).preprocess
    image = noise(300, 260)
    ours = preprocess.normalise(torch.tensor(preprocess.pixels(image))[None])
    torch.testing.assert_close(ours[0], weights.transforms()(image), atol=1e-5, rtol=1e-5)


def test_a_crop_larger_than_the_image_is_padded_as_torchvision() -> None:
    image = noise(21, 30)
    ours = Preprocess(20, 29, "bilinear", (0.5,) * 3, (0.5,) * 3).pixels(image)
    reference = transforms.Compose([transforms.Resize(20), transforms.CenterCrop(29)])
    np.testing.assert_array_equal(ours, np.asarray(reference(image)))


@pytest.mark.parametrize("size", [(50, 81), (81, 50), (33, 34), (40, 40)])
def test_the_square_of_a_run_is_the_one_it_was_trained_on(size: tuple[int, int], tmp_path) -> None:
    for name in ("a.png", "b.png"):
        noise(*size).save(tmp_path / name)
    source = open_source(str(tmp_path))
    trained_on = load_squares(source, list(source.entries), 32, 1, "decode")[0].permute(1, 2, 0)
    left, top = ((side - min(size)) / 2 for side in size)
    middle = (left, top, left + min(size), top + min(size))
    expected = np.asarray(noise(*size).resize((32, 32), Image.Resampling.BILINEAR, box=middle))
    ours = Preprocess(32, 32, "bilinear", (0.5,) * 3, (0.5,) * 3, "square").pixels(noise(*size))
    np.testing.assert_array_equal(trained_on.numpy(), expected)
    np.testing.assert_array_equal(ours, expected)


def test_only_an_unusual_mode_is_recorded() -> None:
    usual = Preprocess(64, 56, "bilinear", (0.5,) * 3, (0.5,) * 3)
    assert "mode" not in usual.record() and replace(usual, mode="squash").record()["mode"] == "squash"
