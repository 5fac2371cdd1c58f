import torch

from miner.images.normalise import normalise

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.3)


def test_normalise_by_hand() -> None:
    pixel = torch.tensor([0.7, 0.4, 0.0]).view(1, 3, 1, 1)
    expected = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(normalise(pixel, MEAN, STD), expected)


def test_bytes_and_shares_of_white_give_the_same() -> None:
    pixels = torch.randint(0, 256, (2, 3, 5, 4), dtype=torch.uint8)
    before = pixels.clone()
    shares = (pixels.double() / 255).float()
    found = normalise(pixels, MEAN, STD, peak=255)
    torch.testing.assert_close(found, normalise(shares, MEAN, STD), atol=1e-5, rtol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last) and torch.equal(pixels, before)
