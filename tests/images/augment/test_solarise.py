import torch
from torchvision.transforms import functional as reference

from miner.images.augment.colour import solarise


def test_equals_torchvision_for_every_pixel_value() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, 3, -1, -1)
    expected = reference.solarize(pixels, 128).float() / 255.0
    torch.testing.assert_close(solarise(pixels.float() / 255.0), expected, atol=1e-6, rtol=0)
