"""Further views of an item beside its two: local crops (multi-crop), weak views, support views."""

from dataclasses import dataclass

import torch
from torch import Tensor

from miner.images.augment.views import Augmentation, ReadyViews
from miner.images.ragged import Pixels
from miner.learning.parallel.collectives import rows_of_this_process, world_size


@dataclass(frozen=True)
class FurtherViews:
    """Views with a size and settings of their own, as the local crops of SwAV (Caron et al. 2020, arXiv 2006.09882, section 3.3).

    Attributes:
        count: the number of further views of each item; even ones show the anchor, odd ones the positive.
        augment: makes one view of each image.
    """

    count: int
    augment: Augmentation

    def draw(self, anchors: Pixels, positives: Pixels, generator: torch.Generator) -> tuple[ReadyViews, ...]:
        """Draw the parameters of all further views of a batch.

        Args:
            anchors, positives: images of the items of this process, uint8 (batch, 3, height, width) or ragged.
            generator: a generator on the CPU.
        """
        drawn = []
        for number in range(self.count):
            images = (anchors, positives)[number % 2]
            rows = torch.arange(len(images) * world_size())
            parameters = self.augment.draw_parameters(len(rows), generator)
            drawn.append(parameters[rows_of_this_process(rows)].ready(images))
        return tuple(drawn)

    def __call__(self, anchors: Pixels, positives: Pixels, drawn: tuple[ReadyViews, ...]) -> tuple[Tensor, ...]:
        """The views, float32 (batch, 3, size, size) each, of what `draw` gave, on the device of the images."""
        return tuple(self.augment.apply((anchors, positives)[number % 2], views) for number, views in enumerate(drawn))
