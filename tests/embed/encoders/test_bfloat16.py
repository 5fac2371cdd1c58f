"""What bfloat16 does to the vectors of EfficientNet-Lite: the most sensitive layers stay float32."""

import numpy as np
import pytest
import torch

from miner.embed.encoders import load_encoder
from tests.embed.photographs import clothing, sample


@pytest.mark.parametrize("pictures", [clothing, sample])
def test_every_image_keeps_a_cosine_of_0_999(pictures) -> None:
    encoder = load_encoder("efficientnet_lite0", torch.device("cpu"))
    pixels = torch.from_numpy(np.stack([encoder.preprocess.pixels(image) for image in pictures(48)]))
    exact, rounded = (
        torch.cat([encoder.encode(part, precision) for part in pixels.split(16)])
        for precision in (torch.float32, torch.bfloat16)
    )
    assert (exact * rounded).sum(1).min() > 0.999 and not torch.equal(exact, rounded)
    assert encoder.record()["float32_part"]
