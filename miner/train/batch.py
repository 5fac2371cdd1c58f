"""What one step of training sees."""

from dataclasses import dataclass

import torch
from torch import Tensor

from miner.train.pair_index import PairIndex


@dataclass(frozen=True)
class Batch:
    """Views of the items of a step, and which images they show.

    Attributes:
        first: normalised views of the first members of the items, float32 (batch, 3, size, size).
        second: of their second members, and then of further positives, float32 (batch + partners, 3, size, size).
        anchors: rows of the images that `first` shows, int64 (batch,).
        positives: of those that `second` shows, int64 (batch + partners,); those of an own-view item are equal.
        draw: CPU generator for anything random in this step.
        crops: small views of each item beside the two, float32 (batch, 3, local size, local size) each.
        owners: which item each further positive belongs to, int64 (partners,), ascending; None without any.
        partner_weight: of the loss of a further positive, against 1 of the item's own.
        known: tells which images are no negatives of each other, on the device of the views; None where all are.
    """

    first: Tensor
    second: Tensor
    anchors: Tensor
    positives: Tensor
    draw: torch.Generator
    crops: tuple[Tensor, ...] = ()
    owners: Tensor | None = None
    partner_weight: float = 1.0
    known: PairIndex | None = None

    @property
    def partner_share(self) -> float:
        """Weight of the mean loss over the further positives, against 1 of that over the items: the sum of theirs counts."""
        partners = 0 if self.owners is None else len(self.owners)
        return self.partner_weight * partners / len(self.first)

    def no_negatives(self, queries: Tensor, others: Tensor) -> Tensor | None:
        """Which images are positives of a query's image: bool (queries, others), or None if nobody asked.

        Args:
            queries, others: int64 (n,) and (m,), rows of images.
        """
        return None if self.known is None else self.known.positives(queries, others)
