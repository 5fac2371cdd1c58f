"""NNCLR: each view predicts the nearest neighbour of the other one among earlier projections."""

import torch
from torch import Tensor, nn

from miner.learning.networks.heads import mlp
from miner.learning.parallel.collectives import gather_rows
from miner.learning.randomness import seeded
from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.info_nce import contrastive_accuracy, info_nce, info_nce_logits
from miner.train.losses.nnclr import nearest_supports, nnclr_logits
from miner.train.methods.base import Method
from miner.train.methods.parts.partners import contrast_of_partners, either, own_item
from miner.train.methods.parts.queue import StepRows, empty_slots, enqueue


class NNCLR(Method):
    """Nearest-neighbour contrastive learning (Dwibedi et al. 2021, arXiv 2104.14548).

    The projections of the first views enter the support set after the neighbours of both views have been looked up. So no view is
    its own neighbour. Deviations: the support set starts empty instead of with random vectors, and in the first step a view takes
    the place of its neighbour. The authors' projector has three layers; two are usual for small images.

    Args:
        hidden_dim, dim, projector_layers: widths and layers of the projector.
        predictor_dim: width of the hidden layer of the predictor.
        queue_size: the size of the support set. It must be far below the number of images: otherwise it holds all of them.
    """

    queue: Tensor
    queued: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        *,
        hidden_dim: int,
        dim: int,
        predictor_dim: int,
        queue_size: int,
        temperature: float,
        seed: int,
        projector_layers: int = 2,
    ) -> None:
        super().__init__(backbone)
        with seeded(seed, "head"):
            self.head = mlp(width, *[hidden_dim] * (projector_layers - 1), dim, last=nn.BatchNorm1d(dim), bias=False)
            self.predictor = mlp(dim, predictor_dim, dim)
        self.temperature = temperature
        self._supports_of_step = StepRows()
        self.register_buffer("queue", torch.zeros(queue_size, dim))
        self.register_buffer("queued", torch.zeros((), dtype=torch.long))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step: neighbours are looked up, the loss is computed, and the first views enter the support set."""
        projections = [self.head(self.backbone(view)) for view in (batch.first, batch.second)]
        one, two = (gather_rows(l2_normalise(self.predictor(projection))) for projection in projections)
        normalised = [l2_normalise(projection.detach()) for projection in projections]
        absent = empty_slots(self.queue, self.queued)
        near_one, near_two = (gather_rows(nearest_supports(rows, self.queue, absent)) for rows in normalised)
        items = len(one)
        anchors, positives = gather_rows(batch.anchors), gather_rows(batch.positives)[:items]
        logits = [
            nnclr_logits(near_one, two[:items], self.temperature, batch.known_positive_mask(anchors, positives)),
            nnclr_logits(near_two[:items], one, self.temperature, batch.known_positive_mask(positives, anchors)),
        ]
        loss = torch.stack([info_nce(each) for each in logits]).mean()
        if batch.partner_items is not None:
            of_partners = self._partner_logits(batch, batch.partner_items, (near_one, near_two), (one, two))
            loss = loss + batch.partners_weight * contrast_of_partners(batch, of_partners, self.temperature)
        supports = gather_rows(normalised[0])
        if new := self._supports_of_step.add(batch, supports):
            enqueue([self.queue], self.queued, new)
        return batch.outcome(
            loss, lambda: {"accuracy": contrastive_accuracy(torch.cat(logits)), "spread": spread(supports)}
        )

    def _partner_logits(
        self, batch: Batch, partner_items: Tensor, neighbours: tuple[Tensor, Tensor], predictions: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Each anchor's neighbour with the predictions of its partners, and the reverse: (2 partners, 1 + batch)."""
        (near_one, near_two), (one, two), items = neighbours, predictions, len(batch.first)
        anchors, own, partners = batch.anchors, batch.positives[:items], batch.positives[items:]
        same = own_item(partner_items, items)
        forth, back = (
            either(same, batch.known_positive_mask(*shown))
            for shown in ((anchors[partner_items], own), (partners, anchors))
        )
        return torch.cat(
            [
                info_nce_logits(near_one[partner_items], two[items:], two[:items], self.temperature, forth),
                info_nce_logits(near_two[items:], one[partner_items], one, self.temperature, back),
            ]
        )
