"""Barlow Twins: each dimension correlates between two views, and with no other dimension."""

from torch import Tensor

from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.barlow_twins import barlow_twins
from miner.train.methods.parts.two_embeddings import TwoEmbeddings


class BarlowTwins(TwoEmbeddings):
    """Redundancy reduction (Zbontar et al. 2021, arXiv 2103.03230), with the authors' weight 0.0051.

    The loss is the paper's divided by `dim`: with SGD, a gradient that grows with the width harms the first steps of a short run.
    """

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step."""
        one, two = self.embeddings(batch)
        outcome = barlow_twins(one, two)
        terms = {name: outcome[name].detach() for name in ("on_diagonal", "off_diagonal")}
        return {"loss": outcome["loss"] / one.shape[1], **terms, "spread": spread(l2_normalise(one.detach()))}
