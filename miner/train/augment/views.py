"""The whole augmentation of a self-supervised view."""

from dataclasses import dataclass

import torch
from torch import Tensor

from miner.train.augment.blur import gaussian_blur
from miner.train.augment.colour import draw_jitter, jitter, to_grey
from miner.train.augment.crop import crop_and_resize, crop_boxes

SMALL_SIDE = 96


@dataclass(frozen=True)
class Augmentation:
    """Random resized crop, flip, colour jitter, grey, blur, normalise: the views of MoCo v2 (Chen et al. 2020).

    Below 96 pixels it is the authors' CIFAR demo: crops from 8 % of the area and no blur; from 96 pixels on, crops from
    20 % and blur. All parameters are drawn on the CPU, so views do not depend on the device.

    Attributes:
        size: side of a view in pixels.
        mean, std: of the channels of the data set, on the scale [0, 1].
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def least_area(self) -> float:
        return 0.08 if self.size < SMALL_SIDE else 0.2

    @property
    def blur_probability(self) -> float:
        return 0.0 if self.size < SMALL_SIDE else 0.5

    def __call__(self, images: Tensor, draw: torch.Generator) -> Tensor:
        """One view of each image.

        Args:
            images: uint8 (batch, 3, canvas, canvas).
            draw: CPU generator.
        Returns:
            float32 (batch, 3, size, size), channels last in memory.
        """
        count, device = len(images), images.device
        boxes = crop_boxes(count, images.shape[-1], (self.least_area, 1.0), draw).to(device)
        flipped = (torch.rand(count, generator=draw) < 0.5).to(device)
        views = crop_and_resize(images, boxes, flipped, self.size).div_(255.0)
        views = jitter(views, draw_jitter(count, (0.4, 0.4, 0.4, 0.1), 0.8, draw))
        grey = _chosen(count, 0.2, draw).to(device)
        views[grey] = to_grey(views[grey]).expand(-1, 3, -1, -1)
        if self.blur_probability:
            blurred = _chosen(count, self.blur_probability, draw)
            sigma = torch.empty(count).uniform_(0.1, 2.0, generator=draw)[blurred].to(device)
            views[blurred.to(device)] = gaussian_blur(views[blurred.to(device)], sigma)
        return normalise(views, self.mean, self.std)


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(images - mean) / std by channel, for float32 (batch, 3, height, width) in [0, 1]; channels last in memory."""
    centre = torch.tensor(mean, device=images.device).view(1, -1, 1, 1)
    width = torch.tensor(std, device=images.device).view(1, -1, 1, 1)
    return images.sub(centre).div_(width).contiguous(memory_format=torch.channels_last)


def _chosen(count: int, probability: float, draw: torch.Generator) -> Tensor:
    """Rows of the samples that something happens to, int64."""
    return torch.nonzero(torch.rand(count, generator=draw) < probability).squeeze(1)
