"""Only the window of a resized image is computed; Pillow's own resize and crop say what it must hold."""

import resource

import numpy as np
import pytest
from PIL import Image

from miner.images.resize import resize_window
from tests.images.noise import METHODS, noise

SIZES = [
    ((160, 213), (256, 340)),
    ((213, 160), (340, 256)),
    ((28, 28), (256, 256)),
    ((600, 800), (232, 309)),
    ((1024, 641), (371, 232)),
    ((300, 620), (64, 132)),
    ((100, 190), (90, 90)),
    ((64, 64), (64, 64)),
    ((1, 400), (16, 6400)),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("size", "resized"), SIZES)
def test_window_has_the_pixels_of_resizing_and_cropping(size, resized, method) -> None:
    image = noise(*size)
    for share in (1.0, 0.875, 0.3):
        width, height = (max(1, int(side * share)) for side in resized)
        left, top = (resized[0] - width) // 2, (resized[1] - height) // 2
        window = (left, top, left + width, top + height)
        expected = np.asarray(image.resize(resized, method).crop(window))
        np.testing.assert_array_equal(np.asarray(resize_window(image, resized, method, window)), expected)


def test_random_sizes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        width, height, target, crop = (int(side) for side in rng.integers(20, 400, 4))
        short = min(width, height)
        resized = (max(target, target * width // short), max(target, target * height // short))
        crop = min(crop, target)
        left, top = round((resized[0] - crop) / 2), round((resized[1] - crop) / 2)
        window = (left, top, left + crop, top + crop)
        image, method = noise(width, height), METHODS[int(rng.integers(len(METHODS)))]
        expected = np.asarray(image.resize(resized, method).crop(window))
        ours = np.asarray(resize_window(image, resized, method, window))
        np.testing.assert_array_equal(ours, expected, err_msg=f"{width}x{height} -> {resized}, {method.name}")


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (3, 30_000)])
def test_a_long_strip_does_not_fill_the_memory(size: tuple[int, int]) -> None:
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    scale = 232 / min(size)
    resized = (int(size[0] * scale), int(size[1] * scale))
    left, top = ((side - 224) // 2 for side in resized)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    window = resize_window(image, resized, Image.Resampling.BILINEAR, (left, top, left + 224, top + 224))
    assert window.size == (224, 224)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    middle = np.asarray(image)[size[1] // 2, size[0] // 2].astype(int)
    assert np.abs(np.asarray(window).astype(int) - middle).max() <= 2
