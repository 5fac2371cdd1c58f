"""Backbones: torchvision's residual networks and timm's vision transformers, without their classifiers."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from miner.learning.networks.batch_norm import SplitBatchNorm2d
from miner.learning.networks.small_conv import SmallInputConv2d
from miner.learning.randomness import seeded


def build_backbone(config: Mapping[str, Any], splits: int = 1) -> tuple[nn.Module, int]:
    """The backbone that the config.yaml of a run describes, with the random weights of the run's seed.

    Args:
        config: `RunPlan.plain()`, or config.yaml.
        splits: parts of the batch that are normalised apart during training; a vision transformer has no batch normalisation.
    Returns:
        The network, (batch, 3, height, width) -> features (batch, width), and that width.
    """
    name, seed = config["backbone"], config["seed"]
    if "patch_size" in config:
        sizes = config["image_size"], config["patch_size"]
        return build_vit(name, *sizes, seed, config.get("drop_path", 0.0), config.get("attention_heads"))
    return build_resnet(name, config["stem"], seed, splits, config.get("zero_init_residual", False))


def build_resnet(
    name: str, stem: str, seed: int, splits: int = 1, zero_init_residual: bool = False
) -> tuple[nn.Module, int]:
    """A residual network (He et al. 2016) with random weights that depend on `seed` alone.

    Its state dict is that of `torchvision.models.<name>(weights=None)` with `fc = Identity()`. The cifar stem
    has `conv1 = Conv2d(3, 64, 3, padding=1, bias=False)` and `maxpool = Identity()` (He et al. 2020, CIFAR demo).

    Args:
        name: resnet18, resnet34 or resnet50.
        stem: cifar or imagenet.
        splits: parts of the batch that are normalised apart during training.
        zero_init_residual: whether each residual branch starts at zero (Goyal et al. 2017, arXiv 1706.02677, section 5.1).
    Returns:
        The network, (batch, 3, height, width) -> pooled features (batch, width), and that width.
    """
    import torchvision

    norm = partial(SplitBatchNorm2d, splits=splits) if splits > 1 else nn.BatchNorm2d
    with seeded(seed, "backbone"):
        network: Any = getattr(torchvision.models, name)(
            weights=None, norm_layer=norm, zero_init_residual=zero_init_residual
        )
        if stem == "cifar":
            network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
            nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
            network.maxpool = nn.Identity()
    width = int(network.fc.in_features)
    network.fc = nn.Identity()
    for module in list(network.modules()):
        for child_name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and child.kernel_size != (1, 1):
                setattr(module, child_name, SmallInputConv2d.of(child))
    return network, width


def build_vit(
    name: str, image_size: int, patch_size: int, seed: int, drop_path: float = 0.0, heads: int | None = None
) -> tuple[nn.Module, int]:
    """A vision transformer (Dosovitskiy et al. 2021, arXiv 2010.11929) with random weights that depend on `seed` alone.

    Its state dict is that of `timm.create_model("<name>_patch16_224", num_classes=0, img_size=image_size,
    patch_size=patch_size)`. Views of another size, such as local crops, get interpolated positions.

    Args:
        name: vit_tiny, vit_small or vit_base.
        image_size: in pixels, a multiple of the patch; it decides the number of positions.
        patch_size: side of a patch in pixels.
        drop_path: share of training images that skip the last block (stochastic depth); fewer skip earlier blocks.
        heads: of attention; timm's number if not given. They change no shape of the state dict.
    Returns:
        The network, (batch, 3, height, width) -> the class token after the last norm (batch, width), and that width.
    """
    import timm

    with seeded(seed, "backbone"):
        network: Any = timm.create_model(
            f"{name}_patch16_224",
            num_classes=0,
            img_size=image_size,
            patch_size=patch_size,
            dynamic_img_size=True,
            drop_path_rate=drop_path,
            num_heads=heads,
        )
    return network, int(network.num_features)
