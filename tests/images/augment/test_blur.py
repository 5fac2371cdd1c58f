import torch
from scipy.ndimage import gaussian_filter

from miner.images.augment.colour import gaussian_blur
from miner.learning.randomness import generator_for


def test_blur_equals_scipy_away_from_the_border() -> None:
    images = torch.rand(3, 3, 48, 48, generator=generator_for(0))
    sigma = torch.tensor([0.1, 1.0, 2.0])
    blurred = gaussian_blur(images, sigma)
    for image, width, result in zip(images, sigma.tolist(), blurred, strict=True):
        expected = torch.from_numpy(gaussian_filter(image.numpy(), (0, width, width), truncate=8.0))
        torch.testing.assert_close(result[:, 16:-16, 16:-16], expected[:, 16:-16, 16:-16], atol=1e-5, rtol=0)


def test_blur_keeps_a_flat_image_flat_up_to_the_border() -> None:
    flat = torch.full((1, 3, 20, 20), 0.3)
    torch.testing.assert_close(gaussian_blur(flat, torch.tensor([2.0])), flat)
