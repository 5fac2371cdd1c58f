"""MoCo v2: contrasts a query with its key and with a queue of keys of earlier batches."""

import torch
from torch import Tensor, nn

from miner.learning.networks.heads import mlp
from miner.learning.networks.momentum import momentum_at, move_towards, slow_copy
from miner.learning.parallel.collectives import gather_rows, rows_of_this_process
from miner.learning.randomness import seeded
from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.info_nce import contrastive_accuracy, info_nce, info_nce_logits
from miner.train.methods.base import Method
from miner.train.methods.parts.partners import RowIndex, contrast_of_partners, either
from miner.train.methods.parts.queue import StepRows, empty_slots, enqueue


class MoCo(Method):
    """Momentum contrast (He et al. 2020, arXiv 1911.05722) with the MLP head of v2 (Chen et al. 2020, arXiv 2003.04297).

    As in the authors' CIFAR demo, the views are shuffled before the key encoder, and the keys are sorted back afterwards. The
    key encoder normalises parts of the batch apart. The symmetric loss is the sum of both directions. The keys of both
    directions enter the queue after both losses, so no query has its own key as a negative. The key encoder averages
    parameters only; its normalisation has its own statistics.

    Deviation: the queue starts empty instead of with random vectors. No feature is similar to random vectors, so all features
    could move to one point to lower the first losses; a short run does not recover from that.

    Args:
        dim: width of the projection.
        hidden_dim, projector_layers: width (that of the features, if not given) and number of the layers of the projector. The
            authors' CIFAR demo has one layer.
        queue_size: negatives; a multiple of the keys per step.
        momentum: m in key <- m key + (1 - m) query.
        momentum_grows: whether it grows to 1 in so many `steps`, along half a cosine; otherwise it is constant.
        symmetric: whether both views are queries.
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
        momentum: float,
        temperature: float,
        seed: int,
        symmetric: bool = False,
        hidden_dim: int | None = None,
        projector_layers: int = 2,
        momentum_grows: bool = False,
        steps: int = 1,
    ) -> None:
        super().__init__(backbone)
        with seeded(seed, "head"):
            self.head = mlp(width, *[hidden_dim or width] * (projector_layers - 1), dim, normalised=False)
        self.key_encoder = slow_copy(nn.Sequential(self.backbone, self.head))
        self.momentum, self.momentum_grows, self.steps = momentum, momentum_grows, steps
        self.temperature, self.symmetric = temperature, symmetric
        self._new_of_step = StepRows()
        self.register_buffer("queue", torch.zeros(queue_size, dim))
        self.register_buffer("queued", torch.zeros((), dtype=torch.long))
        self.register_buffer("queue_rows", torch.zeros(queue_size, dtype=torch.long))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step: the key encoder moves, keys and loss are computed, and the keys enter the queue."""
        self._move_keys(batch)
        directions, orders = 2 if self.symmetric else 1, batch.drawn[batch.part]
        views = (batch.first, batch.second)
        queries = [self._query(view) for view in views[:directions]]
        keys = [self._keys(view, *orders[2 * i : 2 * i + 2]) for i, view in enumerate(views[::-1][:directions])]
        loss, logits = self._contrast(batch, queries, keys)
        self._enqueue(batch, keys)
        return batch.outcome(
            loss,
            lambda: {
                "accuracy": contrastive_accuracy(torch.cat(logits)),
                "spread": spread(gather_rows(queries[0])),
            },
        )

    def _move_keys(self, batch: Batch) -> None:
        if batch.opens_step:
            momentum = momentum_at(batch.step, self.steps, self.momentum, self.momentum_grows)
            move_towards(self.key_encoder, [*self.backbone.parameters(), *self.head.parameters()], momentum)

    def _query(self, view: Tensor) -> Tensor:
        return l2_normalise(self.head(self.backbone(view)))

    def _contrast(self, batch: Batch, queries: list[Tensor], keys: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The loss of each direction, summed, and its logits."""
        negatives, shown = self.queue.clone(), (batch.anchors, batch.positives)
        absent = [self._absent(batch, rows) for rows in shown[: len(queries)]]

        def logits_of(first: RowIndex, second: RowIndex) -> list[Tensor]:
            rows = [(first, second), (second, first)][: len(queries)]
            return [
                info_nce_logits(query[i], rows_of_this_process(key)[j], negatives, self.temperature, mask[i])
                for query, key, mask, (i, j) in zip(queries, keys, absent, rows, strict=True)
            ]

        items = len(batch.first)
        logits = logits_of(slice(0, items), slice(0, items))
        loss = torch.stack([info_nce(each) for each in logits]).sum()
        if batch.partner_items is not None:
            of_partners = logits_of(batch.partner_items, slice(items, None))
            loss = (
                loss
                + batch.partners_weight
                * torch.stack([contrast_of_partners(batch, each, self.temperature) for each in of_partners]).sum()
            )
        return loss, logits

    def _absent(self, batch: Batch, shown: Tensor) -> Tensor:
        """Slots of the queue that are not negatives of queries of these images: bool (queries, queue)."""
        empty = empty_slots(self.queue, self.queued)
        return either(empty.expand(len(shown), -1), batch.known_positive_mask(shown, self.queue_rows))

    def _enqueue(self, batch: Batch, keys: list[Tensor]) -> None:
        """Put the keys of the items into the queue, with the images that they show; keys of partners do not enter it."""
        anchors = gather_rows(batch.anchors)
        shown = [gather_rows(batch.positives), anchors][: len(keys)]
        rows = torch.cat([rows[: len(anchors)] for rows in shown])
        if new := self._new_of_step.add(batch, rows, torch.cat([key[: len(anchors)] for key in keys])):
            enqueue([self.queue_rows, self.queue], self.queued, new)

    def draw(self, items: int, seconds: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """The order of the key encoder and the way back from it, for second and first views."""
        counts = (seconds, items) if self.symmetric else (seconds,)
        orders = [torch.randperm(count, generator=generator) for count in counts]
        return tuple(each for order in orders for each in (order, order.argsort()))

    @torch.no_grad()
    def _keys(self, view: Tensor, order: Tensor, back: Tensor) -> Tensor:
        """Keys of all processes, of length 1, (whole batch, dim); they are encoded in a shuffled order and sorted back."""
        shuffled = rows_of_this_process(gather_rows(view)[order]).contiguous(memory_format=torch.channels_last)
        return gather_rows(l2_normalise(self.key_encoder(shuffled)))[back]

    def passes(self, seconds: float, crops: float) -> tuple[float, float]:
        return (1 + seconds, 1 + seconds) if self.symmetric else (1, seconds)
