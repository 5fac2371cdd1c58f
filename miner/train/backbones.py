"""Encoders to pretrain: torchvision's residual networks without their classifier."""

from functools import partial
from typing import Any

from torch import nn

from miner.train.randomness import seeded
from miner.train.split_norm import SplitBatchNorm2d


def build_backbone(name: str, stem: str, seed: int, splits: int = 1) -> tuple[nn.Module, int]:
    """A residual network (He et al. 2016) with fresh weights that depend on `seed` alone.

    Its state dict is that of `torchvision.models.<name>(weights=None)` with `fc = Identity()` and, for the cifar stem,
    `conv1 = Conv2d(3, 64, 3, padding=1, bias=False)` and `maxpool = Identity()` (He et al. 2020, CIFAR demo).

    Args:
        name: resnet18, resnet34 or resnet50.
        stem: cifar or imagenet.
        seed: of the weights.
        splits: parts of the batch that are normalised apart while training.
    Returns:
        The network, (batch, 3, height, width) -> pooled features (batch, width), and that width.
    """
    import torchvision

    norm = partial(SplitBatchNorm2d, splits=splits) if splits > 1 else nn.BatchNorm2d
    with seeded(seed, "backbone"):
        network: Any = getattr(torchvision.models, name)(weights=None, norm_layer=norm)
        if stem == "cifar":
            network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
            nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
            network.maxpool = nn.Identity()
    width = int(network.fc.in_features)
    network.fc = nn.Identity()
    return network, width
