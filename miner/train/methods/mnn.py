"""MNN: BYOL that also predicts mixtures of the target with its nearest neighbours among earlier targets."""

from typing import Any

import torch
from torch import Tensor, nn

from miner.learning.parallel.collectives import gather_rows
from miner.learning.unit_rows import l2_normalise
from miner.train.data.batch import Batch
from miner.train.losses.mixed_neighbours import mixed_with_nearest, nearest_places
from miner.train.methods.byol import BYOL
from miner.train.methods.parts.queue import StepRows, empty_slots, enqueue

PURITY_KEYS = 1024


class MNN(BYOL):
    """Mixed nearest neighbours (2023, arXiv 2311.00562).

    The loss is the mean over both directions of -cos(prediction, key) - mean over neighbours of prediction . mixture, where a
    mixture is a random share of a neighbour, and of the key itself for the rest. One share is drawn for each direction of a step.
    The authors' loss is 4 + 2 times this: `loss_scale` 2 has its gradient.

    The keys of the second views enter the queue after the neighbours of both views have been looked up. So no key is its own
    neighbour. Deviations: the queue starts empty instead of with random vectors, and a key takes the place of missing neighbours;
    the batch is normalised as a whole, where the authors normalise eight parts apart and shuffle the keys.

    Args:
        queue_size: keys of earlier steps.
        neighbors: how many of them are mixed with a key.
        momentum_grows: as in BYOL, but off by default.
        of_byol: the other arguments of BYOL.
    """

    queue: Tensor
    queued: Tensor
    queue_rows: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        *,
        dim: int,
        queue_size: int,
        neighbors: int,
        momentum_grows: bool = False,
        **of_byol: Any,
    ) -> None:
        super().__init__(backbone, width, dim=dim, momentum_grows=momentum_grows, **of_byol)
        self.neighbors = neighbors
        self._new_of_step = StepRows()
        self.register_buffer("queue", torch.zeros(queue_size, dim))
        self.register_buffer("queued", torch.zeros((), dtype=torch.long))
        self.register_buffer("queue_rows", torch.zeros(queue_size, dtype=torch.long))

    @torch.no_grad()
    def _targets(self, batch: Batch) -> list[Tensor]:
        """The sum of each key and of its mean mixture; then the keys of the second views enter the queue."""
        keys = [l2_normalise(each) for each in super()._targets(batch)]
        absent, (shares,) = empty_slots(self.queue, self.queued), batch.drawn[batch.part]
        targets = [
            key + mixed_with_nearest(key, self.queue, absent, self.neighbors, share)
            for key, share in zip(keys, shares.to(keys[0].dtype), strict=True)
        ]
        items = len(batch.first)
        new = [gather_rows(rows[:items]) for rows in (batch.positives, keys[1])]
        if whole := self._new_of_step.add(batch, *new):
            enqueue([self.queue_rows, self.queue], self.queued, whole)
        return targets

    def _error(self, prediction: Tensor, target: Tensor) -> Tensor:
        return -(l2_normalise(prediction) * target).sum(dim=1).mean()

    def draw(self, items: int, seconds: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """The share of the neighbours in the mixtures of first and of second views."""
        return (torch.rand(2, generator=generator),)

    @torch.no_grad()
    def observe(self, labels: Tensor) -> dict[str, float]:
        """How often a key of the queue and one of its nearest others have the same label, for up to 1,024 keys."""
        empty, places = empty_slots(self.queue, self.queued), torch.arange(len(self.queue), device=self.queue.device)
        itself = places[:PURITY_KEYS].unsqueeze(1) == places
        near = nearest_places(self.queue[:PURITY_KEYS], self.queue, empty | itself, self.neighbors).cpu()
        of_queue = labels[self.queue_rows.cpu()].masked_fill(empty.cpu(), -1)
        mine, theirs = of_queue[: len(near)].unsqueeze(1), torch.where(near >= 0, of_queue[near], -1)
        known = (mine >= 0) & (theirs >= 0)
        return {"neighbour_purity": (mine == theirs)[known].float().mean().item()}
