"""Faster R-CNN on the fourth of five blocks of a residual network (R50-C4), with the fifth as the head of each region."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from miner.errors import MinerError
from miner.learning.randomness import seeded

STRIDE = 16
POOLED_SIDE = 14
_STEM, _BLOCKS = ("conv1", "bn1", "maxpool"), ("layer1", "layer2", "layer3", "layer4")


def c4_detector(
    backbone: nn.Module,
    class_count: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    sides: Sequence[int],
    longest: int,
    regions: int,
    test_regions: int,
    seed: int,
) -> nn.Module:
    """A Faster R-CNN (Ren et al. 2015, arXiv 1506.01497) around a residual network, as MoCo's detection on VOC (He et al. 2020).

    All layers are trained, batch norms too, and a batch norm follows the fifth block. The anchors have sides of 32 to 512 pixels
    and three shapes. Regions are cut by an aligned RoIAlign of 14 x 14.

    Args:
        backbone: a residual network of torchvision or timm with the stem of ImageNet; its layers become part of the detector.
        class_count: classes without the background.
        mean, std: of the channels, on the scale [0, 1].
        sides: lengths of the short side in pixels, of which training draws one per image; a test takes the last.
        longest: most pixels of the long side.
        regions, test_regions: regions per image that the head is trained on, and that it sees in a test.
        seed: of the weights of the new layers.
    Raises:
        MinerError: the backbone is no such network.
    """
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor

    body, block = _split(backbone)
    body.out_channels = _channels(body, torch.zeros(1, 3, 4 * STRIDE, 4 * STRIDE), 4)
    width = _channels(block, torch.zeros(1, body.out_channels, POOLED_SIDE, POOLED_SIDE), POOLED_SIDE // 2)
    with seeded(seed, "detector"):
        detector: Any = FasterRCNN(
            body,
            min_size=tuple(sides),
            max_size=longest,
            image_mean=list(mean),
            image_std=list(std),
            rpn_anchor_generator=AnchorGenerator(((32, 64, 128, 256, 512),), ((0.5, 1.0, 2.0),)),
            rpn_pre_nms_top_n_train=12000,
            rpn_post_nms_top_n_train=2000,
            rpn_pre_nms_top_n_test=6000,
            rpn_post_nms_top_n_test=test_regions,
            box_head=nn.Sequential(block, nn.BatchNorm2d(width), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            box_predictor=FastRCNNPredictor(width, class_count + 1),
            box_batch_size_per_image=regions,
        )
    detector.roi_heads.box_roi_pool = _AlignedRegions()
    return cast(nn.Module, detector.requires_grad_(True))


def _split(backbone: nn.Module) -> tuple[Any, nn.Module]:
    """The network up to its fourth block, and its fifth block."""
    parts = OrderedDict((name, getattr(backbone, name, None)) for name in (*_STEM, *_BLOCKS))
    activation = getattr(backbone, "relu", None) or getattr(backbone, "act1", None)
    if None in (activation, *parts.values()):
        raise MinerError(
            "miner eval detect takes residual networks of torchvision or timm, such as resnet50 and timm:resnet18. This network is "
            "of another kind."
        )
    last = cast(nn.Module, parts.pop("layer4"))
    layers = [(name, cast(nn.Module, layer)) for name, layer in parts.items()]
    return nn.Sequential(OrderedDict([*layers[:2], ("relu", cast(nn.Module, activation)), *layers[2:]])), last


@torch.no_grad()
def _channels(layers: nn.Module, black: Tensor, side: int) -> int:
    """The channels that come out; the sides of the map must be these."""
    shape = layers.eval()(black).shape
    if shape[2:] != (side, side):
        raise MinerError(
            f"miner eval detect needs maps of a stride of {STRIDE} pixels after the fourth block of the network, and of twice that "
            "after the fifth. A run for it is trained with --stem imagenet."
        )
    return int(shape[1])


class _AlignedRegions(nn.Module):
    """RoIAlign without the half-pixel shift (`aligned`), as in Detectron2; `MultiScaleRoIAlign` has no such choice."""

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], shapes: list[tuple[int, int]]) -> Tensor:
        """Maps (n, channels, h, w) under "0", boxes per image (regions, 4) in pixels -> (all regions, channels, 14, 14)."""
        from torchvision.ops import roi_align

        regions: Tensor = roi_align(features["0"], boxes, POOLED_SIDE, 1 / STRIDE, aligned=True)
        return regions
