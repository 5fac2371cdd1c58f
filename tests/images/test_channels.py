import numpy as np
import torch

from miner.images.channels import channel_statistics
from miner.images.ragged import RaggedImages


def test_channel_statistics_equal_numpy() -> None:
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 200, (50, 3, 9, 9), dtype=np.uint8))
    pixels[:, 1] //= 3
    mean, std = channel_statistics(pixels)
    scaled = pixels.numpy() / 255.0
    np.testing.assert_allclose(mean, scaled.mean((0, 2, 3)), atol=6e-5)
    np.testing.assert_allclose(std, scaled.std((0, 2, 3)), atol=6e-5)
    assert channel_statistics(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))[1] == (1 / 255,) * 3


def test_every_pixel_of_images_of_many_shapes_counts_once() -> None:
    shapes = torch.tensor([[4, 9], [7, 3], [5, 5]])
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, 3 * int(shapes.prod(1).sum()), dtype=np.uint8))
    images = RaggedImages.of(pixels, shapes)
    by_channel = torch.cat([images[row].flatten(1) for row in range(3)], dim=1).numpy() / 255.0
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, by_channel.mean(1), atol=6e-5)
    np.testing.assert_allclose(std, by_channel.std(1), atol=6e-5)
