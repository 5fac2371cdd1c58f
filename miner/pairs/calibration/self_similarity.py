"""Mild augmentations: how close an image is to itself when it is photographed almost the same way."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

if TYPE_CHECKING:
    from miner.embed.encoders import Encoder

AREA = (0.8, 1.0)
BRIGHTNESS = (0.9, 1.1)


def mild_augmentation(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """An RGB image with a random crop of 80 to 100 % of its area, a flip half of the time, and brightness and contrast +-10 %."""
    width, height = image.size
    side = np.sqrt(rng.uniform(*AREA))
    crop_width, crop_height = max(1, round(width * side)), max(1, round(height * side))
    left, top = rng.integers(0, width - crop_width + 1), rng.integers(0, height - crop_height + 1)
    image = image.crop((int(left), int(top), int(left) + crop_width, int(top) + crop_height))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(*BRIGHTNESS))
    return ImageEnhance.Contrast(image).enhance(rng.uniform(*BRIGHTNESS))


def self_similarity(
    encoder: "Encoder",
    images: Iterable[Image.Image],
    rng: np.random.Generator,
    batch_size: int = 64,
    device: torch.device | None = None,
    precision: torch.dtype = torch.float32,
) -> NDArray[np.float64]:
    """Cosine of two mild augmentations of the same image.

    Args:
        encoder: on `device`, the CPU if not given.
        images: RGB; read one batch at a time.
        rng: draws the augmentations.
        batch_size: images per forward pass.
        device, precision: of the arithmetic.
    Returns:
        one per image, ascending, float64 (n,).
    """
    vectors = []
    for batch in _batches(iter(images), batch_size):
        views = [encoder.preprocess.pixels(mild_augmentation(image, rng)) for image in batch for _ in range(2)]
        pixels = torch.from_numpy(np.stack(views)).to(device)
        vectors.append(encoder.encode(pixels, precision).cpu().numpy())
    both = np.concatenate(vectors).astype(np.float64)
    return np.sort((both[0::2] * both[1::2]).sum(axis=1))


def _batches(images: Iterator[Image.Image], size: int) -> Iterator[list[Image.Image]]:
    while batch := list(islice(images, size)):
        yield batch
