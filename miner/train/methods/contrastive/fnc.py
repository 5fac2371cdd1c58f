"""FNC: SimCLR that finds views of other images of the same kind, and attracts them or leaves them out of the negatives."""

from typing import Any

import torch
from torch import Tensor, nn

from miner.learning.networks.momentum import momentum_at, move_towards, slow_copy
from miner.learning.parallel.collectives import gather_rows
from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.false_negatives import found_false_negatives, score_at, support_scores
from miner.train.losses.info_nce import contrastive_accuracy
from miner.train.losses.multi_positive import multi_positive
from miner.train.losses.soft_targets import relation_logits
from miner.train.methods.contrastive.simclr import SimCLR
from miner.train.methods.parts.columns import ViewColumns, columns_of
from miner.train.methods.parts.partners import contrast_of_partners
from miner.train.methods.parts.queue import StepRows, enqueue


class FNC(SimCLR):
    """False negative cancellation (Huynh et al. 2022, arXiv 2011.11765).

    An item has two views, and support views beside them. The score of a column, which is a view of another item, is its highest
    cosine with any view of the item. The columns of the `false_negatives` highest scores that are above a threshold are the false
    negatives of the item. Each view is contrasted with all columns; its positives are the other views of the item and, with
    `attract`, the false negatives. `eliminate` leaves false negatives out of the sum of the denominator. The loss is the mean
    over all views (the authors' is twice that): with two views and nothing found, it is SimCLR's.

    Without a queue, the columns are the views of the batch, with gradient. With a queue they are keys of a momentum encoder,
    those of the step and of earlier ones. Then keys are compared with keys to find false negatives, as in the authors' code;
    false negatives count once the queue is full.

    Args:
        support_views: views of an item beside its two; even ones show the anchor, odd ones the positive.
        attract, eliminate: what is done with false negatives; if neither, they are counted only.
        false_negatives: most columns that are found for an item.
        false_negative_start: epochs before they count.
        false_negative_quantile, false_negative_cosine: the threshold, as a share of all scores of the step, or as a cosine.
        queue_size: keys of earlier steps; a multiple of the views per step. None for no queue.
        momentum, momentum_grows: of the momentum encoder; whether it grows to 1.
        dim, of_simclr: as in SimCLR.
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
        support_views: int,
        attract: bool,
        eliminate: bool,
        false_negatives: int,
        false_negative_start: int,
        steps: int,
        steps_per_epoch: int,
        false_negative_quantile: float | None = None,
        false_negative_cosine: float | None = None,
        queue_size: int | None = None,
        momentum: float = 0.999,
        momentum_grows: bool = False,
        **of_simclr: Any,
    ) -> None:
        super().__init__(backbone, width, dim=dim, **of_simclr)
        self.support_views, self.attract, self.eliminate = support_views, attract, eliminate
        self.most, self.quantile, self.cosine = false_negatives, false_negative_quantile, false_negative_cosine
        self.start_step, self.steps = false_negative_start * steps_per_epoch, steps
        self.momentum, self.momentum_grows = momentum, momentum_grows
        self.key_encoder = None if queue_size is None else slow_copy(nn.Sequential(self.backbone, self.head))
        self._new_of_step = StepRows()
        self._last_found: tuple[Tensor, Tensor, Tensor] | None = None
        self.register_buffer("queue", torch.zeros(queue_size or 0, dim))
        self.register_buffer("queued", torch.zeros((), dtype=torch.long))
        self.register_buffer("queue_rows", torch.zeros(queue_size or 0, dtype=torch.long))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step: false negatives are found, the loss is computed, and keys enter the queue, if there is one."""
        items = len(batch.first)
        views = torch.cat([batch.first, batch.second[:items], *batch.further])
        projections = l2_normalise(self.head(self.backbone(torch.cat([views, batch.second[items:]]))))
        ours = projections[: len(views)].view(-1, items, projections.shape[1])
        keys = ours if self.key_encoder is None else self._keys(batch, self.key_encoder, views)
        columns = columns_of(batch, keys, self.queue, self.queue_rows, self.queued)
        found = self._find(keys, columns)
        counted = found if batch.step >= self.start_step else torch.zeros_like(found)
        loss = torch.stack([self._contrast(view, columns, counted, number) for number, view in enumerate(ours)]).mean()
        if batch.partner_items is not None:
            pairs = torch.cat([*ours[:2], projections[len(views) :]])
            of_partners = self._partner_logits(batch, batch.partner_items, pairs)
            loss = loss + batch.partners_weight * contrast_of_partners(batch, of_partners, self.temperature)
        if self.key_encoder is not None and (new := self._new_of_step.add(batch, *self._of_step(columns))):
            enqueue([self.queue, self.queue_rows], self.queued, new)
        return batch.outcome(loss, lambda: self._metrics(batch, ours[:2], columns, found))

    @torch.no_grad()
    def _keys(self, batch: Batch, encoder: nn.Sequential, views: Tensor) -> Tensor:
        """Keys of all views of this process, (views, items, dim), after the encoder has moved."""
        if batch.opens_step:
            momentum = momentum_at(batch.step, self.steps, self.momentum, self.momentum_grows)
            move_towards(encoder, [*self.backbone.parameters(), *self.head.parameters()], momentum)
        keys = l2_normalise(encoder(views))
        return keys.view(-1, len(batch.first), keys.shape[1])

    @torch.no_grad()
    def _find(self, keys: Tensor, columns: ViewColumns) -> Tensor:
        """The false negatives of the items of this process, bool (items, columns); none before the queue is full."""
        scores = support_scores(keys, columns.features, columns.own | columns.absent[0] | columns.absent[1])
        threshold: Tensor | float | None = self.cosine
        if self.quantile is not None:
            every = gather_rows(scores)
            threshold = score_at(self.quantile, every, every.numel() - len(every) * len(keys))
        assert threshold is not None
        return found_false_negatives(scores, self.most, threshold) & ~columns.empty.any()

    def _contrast(self, view: Tensor, columns: ViewColumns, counted: Tensor, number: int) -> Tensor:
        """The mean loss of the view of that number of each item."""
        itself = columns.own & (columns.views == number)
        positives, absent = columns.own & ~itself, itself | columns.absent[number % 2]
        if self.attract:
            positives = positives | counted
        if self.eliminate:
            absent = absent | counted
        return multi_positive(
            relation_logits(view, columns.features, self.temperature, columns.empty), positives, absent
        )

    def _of_step(self, columns: ViewColumns) -> tuple[Tensor, Tensor]:
        """Keys of the step and the images that they show, without those of the queue."""
        count = len(columns.features) - len(self.queue)
        return columns.features[:count], columns.images[:count]

    def _metrics(self, batch: Batch, views: Tensor, columns: ViewColumns, found: Tensor) -> dict[str, Tensor]:
        # For `observe`, which has the labels. gloo does not gather truth values.
        self._last_found = gather_rows(batch.anchors), columns.images, gather_rows(found.byte())
        logits = relation_logits(views[0], columns.features, self.temperature, columns.empty)
        negatives = logits.masked_fill(columns.own | columns.absent[0], -torch.inf)
        positive = torch.where(columns.own & (columns.views == 1), logits, 0.0).sum(dim=1, keepdim=True)
        return {
            "accuracy": contrastive_accuracy(torch.cat([positive, negatives], dim=1)),
            "false_negatives": found.sum(dim=1).float().mean(),
            "spread": spread(gather_rows(views.flatten(0, 1))),
        }

    @torch.no_grad()
    def observe(self, labels: Tensor) -> dict[str, float]:
        """The share of false negatives in the last step that show the class of the anchor, where both labels are known."""
        if self._last_found is None:
            return {}
        anchors, images, found = (each.cpu() for each in self._last_found)
        mine, theirs = labels[anchors].unsqueeze(1), labels[images]
        known = found.bool() & (mine >= 0) & (theirs >= 0)
        return {"false_negative_precision": (mine == theirs)[known].float().mean().item()}

    def passes(self, seconds: float, crops: float) -> tuple[float, float]:
        return 1 + seconds + self.support_views, 0 if self.key_encoder is None else 2 + self.support_views
