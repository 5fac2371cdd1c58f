"""Barlow Twins: each dimension correlates between two views, and with no other dimension."""

from typing import Any

from torch import Tensor, nn

from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.barlow_twins import barlow_twins
from miner.train.methods.parts.two_embeddings import TwoEmbeddings


class BarlowTwins(TwoEmbeddings):
    """Redundancy reduction (Zbontar et al. 2021, arXiv 2103.03230), with the authors' weight 0.0051.

    Args:
        loss_scale: factor of the paper's loss; if not given, 1 / dim. With SGD, a gradient that grows with the width harms the
            first steps of a short run. solo-learn takes 0.1.
    """

    def __init__(
        self, backbone: nn.Module, width: int, *, dim: int, loss_scale: float | None = None, **others: Any
    ) -> None:
        super().__init__(backbone, width, dim=dim, **others)
        self.divisor = dim if loss_scale is None else 1 / loss_scale

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step."""
        one, two = self.embeddings(batch)
        outcome = barlow_twins(one, two)
        terms = {name: outcome[name].detach() for name in ("on_diagonal", "off_diagonal")}
        loss = outcome["loss"] / self.divisor
        return batch.outcome(loss, lambda: {**terms, "spread": spread(l2_normalise(one))})
