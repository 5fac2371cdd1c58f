import torch

from miner.learning.features import pooled_features
from miner.learning.networks.backbones import build_resnet


def test_features_are_of_the_eval_mode_whatever_the_batch() -> None:
    backbone, width = build_resnet("resnet18", "imagenet", 0)
    images = torch.randint(0, 256, (10, 3, 32, 32), dtype=torch.uint8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    settings = {"device": torch.device("cpu"), "title": "encode"}
    whole = pooled_features(backbone.train(), images, mean, std, batch_size=10, **settings)
    parts = pooled_features(backbone.train(), images, mean, std, batch_size=3, **settings)
    assert whole.shape == (10, width) and whole.dtype == torch.float32
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-4)
    pixels = (images / 255.0 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        expected = backbone.eval()(pixels)
    torch.testing.assert_close(whole, expected, atol=1e-5, rtol=1e-4)
