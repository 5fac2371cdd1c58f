"""Frozen features of images."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from miner.engine import Progress
from miner.train.augment.views import normalise


@torch.inference_mode()
def encode(
    backbone: nn.Module,
    images: Tensor,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    batch_size: int,
    device: torch.device,
    title: str,
) -> Tensor:
    """Pooled features in eval mode, without augmentation and in float32.

    Args:
        backbone: (batch, 3, side, side) -> (batch, width), on `device`.
        images: uint8 (n, 3, side, side), on the CPU.
        mean, std: of the channels, on the scale [0, 1].
        batch_size: images per forward pass.
        device: where to compute.
        title: for the progress display.
    Returns:
        Unit rows, float32 (n, width), on `device`.
    """
    backbone.eval()
    rows = []
    with Progress(title, total=len(images), item="images") as progress:
        for batch in torch.split(images, batch_size):
            pixels = batch.to(device).float().div_(255.0)
            rows.append(F.normalize(backbone(normalise(pixels, mean, std)).float(), dim=1))
            progress.advance(len(batch))
    return torch.cat(rows)
