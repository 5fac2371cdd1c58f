"""SimCLR: contrasts each view with the views of all other images of the batch."""

import torch
from torch import Tensor, nn

from miner.learning.networks.heads import mlp
from miner.learning.parallel.collectives import gather_rows
from miner.learning.randomness import seeded
from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.info_nce import contrastive_accuracy, info_nce, info_nce_logits
from miner.train.losses.nt_xent import nt_xent_logits
from miner.train.methods.base import Method
from miner.train.methods.parts.partners import contrast_of_partners, either, own_item


class SimCLR(Method):
    """Contrast within the batch (Chen et al. 2020, arXiv 2002.05709).

    Both views pass through the networks as one batch, so that normalisation sees all of it, as it does over the authors' devices.
    The projector also normalises its output, as the authors' code does.

    Args:
        hidden_dim, dim, projector_layers: widths and layers of the projector.
        projector_norm: whether the projector has batch normalisation, inside and on its output; that of solo-learn has none.
    """

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        *,
        hidden_dim: int,
        dim: int,
        temperature: float,
        seed: int,
        projector_layers: int = 2,
        projector_norm: bool = True,
    ) -> None:
        super().__init__(backbone)
        with seeded(seed, "head"):
            widths = width, *[hidden_dim] * (projector_layers - 1), dim
            last = nn.BatchNorm1d(dim) if projector_norm else None
            self.head = mlp(*widths, last=last, bias=not projector_norm, normalised=projector_norm)
        self.temperature = temperature

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step."""
        projections = l2_normalise(self.head(self.backbone(torch.cat([batch.first, batch.second]))))
        items = len(batch.first)
        one, two = gather_rows(projections[:items]), gather_rows(projections[items : 2 * items])
        shown = torch.cat([gather_rows(batch.anchors), gather_rows(batch.positives[:items])])
        logits = nt_xent_logits(one, two, self.temperature, batch.known_positive_mask(shown, shown))
        loss = info_nce(logits)
        if batch.partner_items is not None:
            of_partners = self._partner_logits(batch, batch.partner_items, projections)
            loss = loss + batch.partners_weight * contrast_of_partners(batch, of_partners, self.temperature)
        return batch.outcome(
            loss, lambda: {"accuracy": contrastive_accuracy(logits), "spread": spread(torch.cat([one, two]))}
        )

    def _partner_logits(self, batch: Batch, partner_items: Tensor, projections: Tensor) -> Tensor:
        """Anchor to partner and partner to anchor, with both views of all other items as negatives: (2 partners, 1 + 2 batch)."""
        items = len(batch.first)
        views, partners = projections[: 2 * items], projections[2 * items :]
        anchors = views[partner_items]
        shown = torch.cat([batch.anchors, batch.positives[:items]])
        queries = torch.cat([batch.anchors[partner_items], batch.positives[items:]])
        absent = either(own_item(partner_items, items).repeat(2, 2), batch.known_positive_mask(queries, shown))
        one, two = torch.cat([anchors, partners]), torch.cat([partners, anchors])
        return info_nce_logits(one, two, views, self.temperature, absent)
