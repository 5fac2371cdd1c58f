"""Which images are partners of each other: to draw partners, and to mask negatives that are positives."""

from typing import Self

import torch
from torch import Tensor


class PairIndex:
    """The partners of every image, on any device. Each pair takes 16 bytes.

    Args:
        keys: int64 (2 pairs,), anchor x images + partner, ascending; both directions of each pair.
        images: how many there are.
        weights: how often a partner is drawn against others of its anchor, float64 like `keys`; None for all alike.
    """

    def __init__(self, keys: Tensor, images: int, weights: Tensor | None = None) -> None:
        self.keys = keys
        self.images = images
        self.weights = weights

    @classmethod
    def of(cls, rows: Tensor, images: int, anchors_only: bool = False, weights: Tensor | None = None) -> Self:
        """The index of pairs.

        Args:
            rows: int64 (pairs, 2), rows of images.
            images: how many there are.
            anchors_only: whether each image is its own partner instead, as often as it is in a pair.
            weights: of the pairs, float64 (pairs,), above 0.
        """
        anchors = rows.flatten()
        partners = anchors if anchors_only else rows.flip(1).flatten()
        keys, order = (anchors * images + partners).sort()
        return cls(keys, images, None if weights is None else weights[order // 2])

    def to(self, device: torch.device) -> "PairIndex":
        """The same index on a device."""
        return PairIndex(self.keys.to(device), self.images)

    def positives(self, anchors: Tensor, others: Tensor) -> Tensor:
        """Whether an image is the anchor itself or a partner of the anchor: bool (anchors, others).

        Args:
            anchors, others: int64 (n,) and (m,), rows of images on the device of the index.
        """
        return (anchors.unsqueeze(1) == others) | self.holds(anchors.unsqueeze(1), others)

    def holds(self, anchors: Tensor, others: Tensor) -> Tensor:
        """Whether two images are partners, elementwise: bool.

        Args:
            anchors, others: int64, of shapes that broadcast, rows of images on the device of the index.
        """
        wanted = anchors * self.images + others
        if len(self.keys) == 0:
            return torch.zeros_like(wanted, dtype=torch.bool)
        places = torch.searchsorted(self.keys, wanted).clamp_max(len(self.keys) - 1)
        return self.keys[places] == wanted

    def draw_partners(self, anchors: Tensor, most: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Up to `most` partners of each anchor, drawn uniformly or one after another by weight. The index must be on the CPU.

        Args:
            anchors: int64 (n,), rows of images.
            most: partners per anchor.
            generator: the generator of the choice.
        Returns:
            int64 (partners,) twice: the index into `anchors`, ascending, and the row of the partner.
        """
        bounds = torch.searchsorted(self.keys, torch.stack([anchors, anchors + 1]) * self.images)
        counts = bounds[1] - bounds[0]
        places = torch.arange(len(anchors)).repeat_interleave(counts)
        first_of_anchor = (counts.cumsum(0) - counts)[places]
        number = torch.arange(len(places))
        listed = bounds[0][places] + number - first_of_anchor
        # Shuffled, then sorted by anchor: the first `most` of each anchor are a random choice.
        if self.weights is None:
            order = torch.randperm(len(places), generator=generator)
        else:  # in the order of exponential arrival times with these rates (Efraimidis & Spirakis 2006)
            waits = -torch.rand(len(places), generator=generator, dtype=torch.float64).log() / self.weights[listed]
            order = waits.argsort()
        order = order[places[order].argsort(stable=True)]
        chosen = order[number - first_of_anchor < most].sort().values
        return places[chosen], self.keys[listed[chosen]] % self.images
