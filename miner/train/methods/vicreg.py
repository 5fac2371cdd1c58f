"""VICReg: the embeddings of two views agree, and the dimensions vary and do not correlate."""

from torch import Tensor

from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.vicreg import INVARIANCE_WEIGHT, invariance, vicreg
from miner.train.methods.parts.two_embeddings import TwoEmbeddings


class VICReg(TwoEmbeddings):
    """Variance, invariance and covariance (Bardes et al. 2022, arXiv 2105.04906), with their weights 25, 25 and 1.

    A partner of an item adds to the invariance only; variance and covariance are those of the items' own views.
    """

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step."""
        one, two = self.embeddings(batch)
        outcome = vicreg(one, two[: len(one)])
        loss = outcome["loss"]
        if batch.partner_items is not None:
            agreement = invariance(one[batch.partner_items], two[len(one) :])
            loss = loss + batch.partners_weight * INVARIANCE_WEIGHT * agreement
        terms = {name: outcome[name].detach() for name in ("invariance", "variance", "covariance")}
        return batch.outcome(loss, lambda: {**terms, "spread": spread(l2_normalise(one))})
