"""The fast resize against Pillow's own resize and crop, which it may miss by a level or two here and there."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from miner.embed.options import EmbedOptions
from miner.embed.worker import Worker
from miner.images import preprocess
from miner.images.decode import DecodedImage, decode_at_least
from miner.images.preprocess import Preprocess, fast_resize_window
from miner.images.resize import resize_window
from miner.source import open_source
from tests.embed.photographs import clothing
from tests.images.noise import METHODS, noise

CENTRE = [((160, 213), (256, 340)), ((32, 32), (256, 256)), ((600, 800), (232, 309)), ((64, 64), (64, 64))]


def windows(size: tuple[int, int], share: float) -> tuple[int, int, int, int]:
    width, height = (int(side * share) for side in size)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def assert_nearly_same(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> None:
    difference = ours.astype(int) - theirs
    assert np.abs(difference).max() <= 2
    assert (difference != 0).mean() < 0.05 and abs(difference.mean()) < 0.01


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize(("size", "resized"), CENTRE)
def test_nearly_the_pixels_of_pillow(size, resized, method) -> None:
    image, window = noise(*size), windows(resized, 0.875)
    theirs = np.asarray(image.resize(resized, method).crop(window))
    assert_nearly_same(fast_resize_window(image, resized, method, window), theirs)


@pytest.mark.parametrize("mode", ["center", "squash", "border", "square"])
def test_photographs(mode: str) -> None:
    for interpolation in ("bilinear", "bicubic"):
        steps = Preprocess(96, 96, interpolation, (0.5,) * 3, (0.5,) * 3, mode)
        for image in clothing():
            picture = DecodedImage(image, image.size)
            assert_nearly_same(steps.pixels_of(picture, fast=True), steps.pixels_of(picture))


def test_random_sizes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        width, height, target, across = (int(side) for side in rng.integers(20, 400, 4))
        resized = (target, max(1, height * target // width)) if rng.random() < 0.5 else (target, across)
        image, method, window = noise(width, height), METHODS[int(rng.integers(3))], windows(resized, 0.6)
        if window[0] < window[2] and window[1] < window[3]:
            theirs = np.asarray(image.resize(resized, method).crop(window))
            assert_nearly_same(fast_resize_window(image, resized, method, window), theirs)


def test_a_long_strip_is_left_to_the_one_that_bounds_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "functional", None)
    arguments = noise(4, 400), (16, 1600), Image.Resampling.BILINEAR, (0, 0, 8, 8)
    ours = fast_resize_window(*arguments, max_pixels=1000)
    theirs = np.asarray(resize_window(*arguments, max_pixels=1000))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("precision", "fast"), [("fp32", False), ("bf16", True)])
def test_bfloat16_alone_resizes_fast(precision: str, fast: bool) -> None:
    worker = Worker(EmbedOptions(source="sample", precision=precision, device="cpu"))
    source = open_source("sample")
    ours = worker._staging(16)
    for row, entry in enumerate(source.entries[:16]):
        worker._decode(ours[row], entry)
    pictures = [decode_at_least(source.read(entry)) for entry in source.entries[:16]]
    exact, nearly = (
        np.stack([worker.encoder.preprocess.pixels_of(picture, way) for picture in pictures]) for way in (False, True)
    )
    assert not np.array_equal(exact, nearly)
    np.testing.assert_array_equal(ours.numpy(), nearly if fast else exact)
