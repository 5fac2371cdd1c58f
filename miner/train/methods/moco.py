"""MoCo v2: a query against its key and a queue of keys of earlier batches."""

import torch
from torch import Tensor, nn

from miner.train.batch import Batch
from miner.train.distributed import gather_rows, own_rows
from miner.train.losses.info_nce import contrastive_accuracy, info_nce, info_nce_logits
from miner.train.methods.base import Method, spread, unit
from miner.train.methods.momentum import move_towards, slow_copy
from miner.train.methods.queue import empty_slots, enqueue
from miner.train.randomness import seeded


class MoCo(Method):
    """Momentum contrast (He et al. 2020, arXiv 1911.05722) with the MLP head of v2 (Chen et al. 2020, arXiv 2003.04297).

    As the authors' CIFAR demo: the keys are shuffled before, and sorted back after, an encoder that normalises parts of
    the batch apart; the symmetric loss is the sum of both directions. Both directions' keys enter the queue after both
    losses, so no query meets its own key as a negative. The key encoder averages parameters only; its normalisation
    keeps statistics of its own.

    Unlike the reference, the queue starts empty instead of with random vectors: no feature is like those, so the first
    steps would be won by moving all features to one point, from which a short run does not recover.

    Args:
        backbone: (batch, 3, size, size) -> (batch, width).
        width: of its features.
        dim: width of the projection.
        queue_size: negatives; a multiple of the keys per step.
        momentum: m in key <- m key + (1 - m) query.
        temperature: of the loss.
        symmetric: whether each view is query once.
        seed: of the head.
    """

    queue: Tensor
    queued: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        *,
        dim: int,
        queue_size: int,
        momentum: float,
        temperature: float,
        symmetric: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        with seeded(seed, "head"):
            self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))
        self.key_encoder = slow_copy(nn.Sequential(self.backbone, self.head))
        self.momentum, self.temperature, self.symmetric = momentum, temperature, symmetric
        self.register_buffer("queue", torch.zeros(queue_size, dim))
        self.register_buffer("queued", torch.zeros((), dtype=torch.long))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step: the key encoder moves, keys are computed, the loss taken, and the keys queued."""
        move_towards(self.key_encoder, [*self.backbone.parameters(), *self.head.parameters()], self.momentum)
        one_way = (batch.first, batch.second)
        directions = [one_way, one_way[::-1]] if self.symmetric else [one_way]
        queries = [unit(self.head(self.backbone(view))) for view, _ in directions]
        keys = [self._keys(view, batch.draw) for _, view in directions]
        negatives, absent = self.queue.clone(), empty_slots(self.queue, self.queued)
        logits = [
            info_nce_logits(query, own_rows(key), negatives, self.temperature, absent)
            for query, key in zip(queries, keys, strict=True)
        ]
        loss = torch.stack([info_nce(each) for each in logits]).sum()
        enqueue(self.queue, self.queued, torch.cat(keys))
        with torch.no_grad():
            return {
                "loss": loss,
                "accuracy": contrastive_accuracy(torch.cat(logits)),
                "spread": spread(gather_rows(queries[0])),
            }

    @torch.no_grad()
    def _keys(self, view: Tensor, draw: torch.Generator) -> Tensor:
        """Unit keys of all processes (whole batch, dim) in the order of their views, encoded in a shuffled order."""
        views = gather_rows(view)
        order = torch.randperm(len(views), generator=draw)
        shuffled = own_rows(views[order.to(view.device)]).contiguous(memory_format=torch.channels_last)
        return gather_rows(unit(self.key_encoder(shuffled)))[order.argsort().to(view.device)]
