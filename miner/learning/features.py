"""Frozen features of images."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from miner.engine import Progress
from miner.images.normalise import normalise


@torch.no_grad()
def pooled_features(
    backbone: nn.Module,
    images: Tensor,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    batch_size: int,
    device: torch.device,
    title: str | None = None,
) -> Tensor:
    """Pooled features in eval mode, without augmentation and in float32.

    Args:
        backbone: (batch, 3, side, side) -> (batch, width), on `device`; its mode is restored.
        images: uint8 (n, 3, side, side), on any device.
        mean, std: the mean and standard deviation of the channels, on the scale [0, 1].
        title: for the progress display; None shows none.
    Returns:
        float32 (n, width), on `device`.
    """
    was_training, rows = backbone.training, []
    backbone.eval()
    with Progress(title, total=len(images), item="images") if title else nullcontext() as progress:
        for batch in torch.split(images, batch_size):
            pixels = batch.to(device).float().div_(255.0)
            rows.append(backbone(normalise(pixels, mean, std)).float())
            if progress is not None:
                progress.advance(len(batch))
    backbone.train(was_training)
    return torch.cat(rows)
