"""The whole augmentation that makes a view."""

from dataclasses import dataclass

import torch
from torch import Tensor

from miner.images.augment.colour import JitterParameters, draw_jitter, gaussian_blur, jitter, solarise, to_grey
from miner.images.augment.crop import CropDraws, crop_and_resize, crop_boxes, draw_crops
from miner.images.augment.settings import PLAIN, ViewSettings
from miner.images.normalise import normalise
from miner.images.ragged import Pixels, shapes_of


@dataclass(frozen=True)
class ViewParameters:
    """The random parameters of B views, on the CPU. They are drawn for a whole batch: a process that has a part of the batch takes
    the rows of that part, and makes the same views as one process would.

    Attributes:
        crops: the draws of the crop boxes.
        flipped: bool (B,).
        jitter: the jitter of the colours.
        grey: bool (B,).
        sigma: the sigma of the blur in pixels, float32 (B,); 0 without blur.
        solarised: bool (B,).
    """

    crops: CropDraws
    flipped: Tensor
    jitter: JitterParameters
    grey: Tensor
    sigma: Tensor
    solarised: Tensor

    def __getitem__(self, rows: Tensor) -> "ViewParameters":
        colours = JitterParameters(self.jitter.factors[rows], self.jitter.order[rows], self.jitter.applied[rows])
        return ViewParameters(
            self.crops[rows], self.flipped[rows], colours, self.grey[rows], self.sigma[rows], self.solarised[rows]
        )


@dataclass(frozen=True)
class Augmentation:
    """Random resized crop, flip, colour jitter, grey, blur, solarise, normalise.

    All parameters are drawn on the CPU, so views do not depend on the device.

    Attributes:
        size: side of a view in pixels.
        mean, std: the mean and standard deviation of the channels of the data set, on the scale [0, 1].
        settings: the settings of the views.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    settings: ViewSettings = PLAIN

    def __call__(self, images: Pixels, generator: torch.Generator, firsts: int | None = None) -> Tensor:
        """One view of each image: what `apply` makes of what `draw_parameters` gives."""
        return self.apply(images, self.draw_parameters(len(images), generator, firsts))

    def draw_parameters(self, count: int, generator: torch.Generator, firsts: int | None = None) -> ViewParameters:
        """Parameters of `count` views of images of any shape. The first `firsts` of them, or half, are first views."""
        second = torch.arange(count) >= (count // 2 if firsts is None else firsts)
        crops = draw_crops(count, self.settings.area, generator)
        flipped = torch.rand(count, generator=generator) < 0.5
        colours = draw_jitter(count, self.settings.jitter, 0.8, generator)
        grey = torch.rand(count, generator=generator) < 0.2
        sigma, solarised = torch.zeros(count), torch.zeros(count, dtype=torch.bool)
        if any(self.settings.blur):
            blurred = torch.rand(count, generator=generator) < torch.tensor(self.settings.blur)[second.int()]
            sigma = torch.empty(count).uniform_(0.1, 2.0, generator=generator) * blurred
        if any(self.settings.solarise):
            solarised = torch.rand(count, generator=generator) < torch.tensor(self.settings.solarise)[second.int()]
        return ViewParameters(crops, flipped, colours, grey, sigma, solarised)

    def apply(self, images: Pixels, parameters: ViewParameters) -> Tensor:
        """One view of each image: uint8 (batch, 3, height, width) or ragged -> float32 (batch, 3, size, size), channels last."""
        device = images.device
        boxes = crop_boxes(parameters.crops, shapes_of(images)).to(device)
        flipped = parameters.flipped.to(device)
        views = crop_and_resize(images, boxes, flipped, self.size).div_(255.0)
        views = jitter(views, parameters.jitter)
        grey = torch.nonzero(parameters.grey).squeeze(1).to(device)
        views[grey] = to_grey(views[grey]).expand(-1, 3, -1, -1)
        blurred = torch.nonzero(parameters.sigma).squeeze(1)
        if len(blurred):
            sigma = parameters.sigma[blurred].to(device)
            blurred = blurred.to(device)
            views[blurred] = gaussian_blur(views[blurred], sigma)
        solarised = torch.nonzero(parameters.solarised).squeeze(1).to(device)
        views[solarised] = solarise(views[solarised])
        return normalise(views, self.mean, self.std)
