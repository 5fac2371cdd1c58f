"""The whole augmentation that makes a view."""

from dataclasses import dataclass

import torch
from torch import Tensor

from miner.images.augment.colour import (
    JitterParameters,
    JitterTurns,
    draw_jitter,
    gaussian_blur,
    jitter,
    solarise,
    to_grey,
)
from miner.images.augment.crop import CropDraws, crop_and_resize, crop_boxes, draw_crops
from miner.images.augment.settings import PLAIN, ViewSettings
from miner.images.normalise import normalise
from miner.images.ragged import Pixels, RaggedImages, shapes_of
from miner.machine.transfer import move_together


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

    def ready(self, images: Pixels) -> "ReadyViews":
        """What a device needs to make these views of images; of images of one shape, the shape is all that counts."""
        return ReadyViews(
            crop_boxes(self.crops, shapes_of(images)),
            images.layout() if isinstance(images, RaggedImages) else None,
            self.flipped,
            self.jitter.turns(),
            torch.nonzero(self.grey).squeeze(1),
            torch.nonzero(self.sigma).squeeze(1),
            self.sigma[self.sigma > 0],
            torch.nonzero(self.solarised).squeeze(1),
        )


@dataclass(frozen=True)
class ReadyViews:
    """The parameters of B views of certain images, so that a device makes them without a question to the CPU.

    Attributes:
        boxes: int64 (B, 4): top, left, height and width of the crop in pixels.
        layout: where ragged images lie in their buffer; None for images of one shape.
        flipped: bool (B,).
        jitter: the jitter of the colours.
        grey, blurred, solarised: which views are changed so, int64 (any number,).
        sigma: of the blurred ones, in pixels, float32 (blurred,).
    """

    boxes: Tensor
    layout: Tensor | None
    flipped: Tensor
    jitter: JitterTurns
    grey: Tensor
    blurred: Tensor
    sigma: Tensor
    solarised: Tensor


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
        parameters = self.draw_parameters(len(images), generator, firsts)
        return self.apply(images, move_together(parameters.ready(images), images.device))

    def draw_parameters(self, count: int, generator: torch.Generator, firsts: int | None = None) -> ViewParameters:
        """Parameters of `count` views of images of any shape. The first `firsts` of them, or half, are first views."""
        second = (torch.arange(count) >= (count // 2 if firsts is None else firsts)).int()

        def share(of_views: tuple[float, float]) -> Tensor:
            return torch.tensor(of_views)[second]

        crops = draw_crops(count, self.settings.area, generator)
        flipped = torch.rand(count, generator=generator) < 0.5
        colours = draw_jitter(count, self.settings.jitter, share(self.settings.jittered), generator)
        grey = torch.rand(count, generator=generator) < share(self.settings.grey)
        sigma, solarised = torch.zeros(count), torch.zeros(count, dtype=torch.bool)
        if any(self.settings.blur):
            blurred = torch.rand(count, generator=generator) < share(self.settings.blur)
            sigma = torch.empty(count).uniform_(0.1, 2.0, generator=generator) * blurred
        if any(self.settings.solarise):
            solarised = torch.rand(count, generator=generator) < share(self.settings.solarise)
        return ViewParameters(crops, flipped, colours, grey, sigma, solarised)

    def apply(self, images: Pixels, views: ReadyViews) -> Tensor:
        """One view of each image.

        Args:
            images: uint8 (batch, 3, height, width) or ragged, on any device.
            views: with tensors on the device of the images.
        Returns:
            float32 (batch, 3, size, size), channels last.
        """
        made = crop_and_resize(images, views.boxes, views.flipped, self.size, views.layout).div_(255.0)
        made = jitter(made, views.jitter)
        made[views.grey] = to_grey(made[views.grey]).expand(-1, 3, -1, -1)
        if len(views.blurred):
            made[views.blurred] = gaussian_blur(made[views.blurred], views.sigma)
        made[views.solarised] = solarise(made[views.solarised])
        return normalise(made, self.mean, self.std)
