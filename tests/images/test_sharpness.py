"""Sharpness against scipy's convolution, and on real photographs."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.ndimage import convolve

from miner.images.sharpness import laplacian_variance
from miner.source import open_source


@pytest.fixture
def photo() -> Image.Image:
    sample = open_source("sample")
    return Image.open(io.BytesIO(sample.read(sample.entries[0]))).convert("RGB")


def test_variance_equals_scipy(photo) -> None:
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    grey = np.asarray(photo.convert("L"), np.int64)
    expected = convolve(grey, kernel)[1:-1, 1:-1].var()
    assert laplacian_variance(photo, photo.size) == pytest.approx(expected, rel=1e-12)


def test_blur_and_enlarged_copies_are_less_sharp(photo) -> None:
    small, blurred = photo.resize((14, 14)), photo.filter(ImageFilter.GaussianBlur(1))
    sharpness = [laplacian_variance(image, photo.size) for image in (photo, blurred, small)]
    assert sharpness[0] > max(sharpness[1:])


def test_small_copy_is_sharper_at_its_own_size(photo) -> None:
    large = photo.resize((112, 112))
    assert laplacian_variance(photo, photo.size) > laplacian_variance(large, large.size)


def test_tiny_images_have_no_sharpness() -> None:
    assert laplacian_variance(Image.new("RGB", (2, 9)), (2, 9)) == 0
