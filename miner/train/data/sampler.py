"""The combined data set of own-view items and mined pairs, and its order in each epoch."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from miner.learning.randomness import generator_for


@dataclass(frozen=True)
class CombinedSampler:
    """Own-view items (i, i) and semantic items (i, j), after Algorithm 1 of SePP-ID (TMLR 2024).

    A pair is one item per epoch, in a direction that is drawn anew each epoch; the paper's listing keeps both directions. The
    order depends on the seed and the epoch alone, so the step number is enough to continue a run.

    Args:
        image_count: number of images with an own-view item, N; 0 for pairs alone.
        pairs: int64 (P, 2), rows of images, a != b.
        batch_size: items per step. The items that do not fill the last batch are left out; each epoch leaves out different ones.
        anchors_only: whether the item of a pair shows its anchor twice; the anchors and their steps are those of the pairs.
        weights: how often a pair is drawn against others, float64 (P,). An epoch still has P pairs: a pair of weight w comes
            P w / (sum of weights) times, rounded up or down at random (systematic sampling). None for each pair once.
    """

    image_count: int
    pairs: Tensor
    batch_size: int
    seed: int
    anchors_only: bool = False
    weights: Tensor | None = None

    @property
    def item_count(self) -> int:
        return self.image_count + len(self.pairs)

    @property
    def steps_per_epoch(self) -> int:
        return self.item_count // self.batch_size

    def batches(self, start: int, stop: int) -> Iterator[Tensor]:
        """The batches of the steps from `start` up to, but without, `stop`: int64 (2, batch) each."""
        for step in range(start, stop):
            number, position = divmod(step, self.steps_per_epoch)
            if position == 0 or step == start:
                batches = self.epoch(number)
            yield batches[position]

    def epoch(self, number: int) -> Tensor:
        """All batches of an epoch: int64 (steps, 2, batch), the rows of anchors and of positives."""
        generator = generator_for(self.seed, "order", number)
        own = torch.arange(self.image_count).unsqueeze(1).expand(-1, 2)
        pairs = self.pairs if self.weights is None else self.pairs[_systematic(self.weights, generator)]
        swapped = torch.rand(len(pairs), 1, generator=generator) < 0.5
        pairs = torch.where(swapped, pairs.flip(1), pairs)
        items = torch.cat([own, pairs[:, :1].expand(-1, 2) if self.anchors_only else pairs])
        order = torch.randperm(len(items), generator=generator)[: self.steps_per_epoch * self.batch_size]
        return items[order].view(self.steps_per_epoch, self.batch_size, 2).transpose(1, 2).contiguous()


def _systematic(weights: Tensor, generator: torch.Generator) -> Tensor:
    """As many draws as there are weights, each in proportion to its weight, int64: points at equal distances on their sum."""
    ends, count = weights.cumsum(0), len(weights)
    start = torch.rand((), generator=generator, dtype=torch.float64)
    points = (torch.arange(count) + start) * (ends[-1] / count)
    return torch.searchsorted(ends, points, right=True).clamp_max(count - 1)
