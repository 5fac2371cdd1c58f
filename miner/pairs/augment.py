"""Mild augmentations: how close an image is to itself when it is photographed almost the same way."""

import numpy as np
from PIL import Image, ImageEnhance

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
