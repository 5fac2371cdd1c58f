"""VICReg: two views agree, and the dimensions of their embeddings keep apart."""

from torch import Tensor, nn

from miner.learning.networks.heads import mlp
from miner.learning.parallel.collectives import gather_rows
from miner.learning.randomness import seeded
from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.vicreg import INVARIANCE_WEIGHT, invariance, vicreg
from miner.train.methods.base import Method


class VICReg(Method):
    """Variance, invariance and covariance (Bardes et al. 2022, arXiv 2105.04906), with their weights 25, 25 and 1.

    A further positive of an item adds to the invariance only; variance and covariance are those of the items' own views.

    The expander has two layers where the authors use three of 8,192 on ImageNet; as in their code, the last has no offset.

    Args:
        backbone: (batch, 3, size, size) -> (batch, width).
        width: of its features.
        hidden_dim, dim: widths of the expander.
        seed: of the expander.
    """

    def __init__(self, backbone: nn.Module, width: int, *, hidden_dim: int, dim: int, seed: int) -> None:
        super().__init__()
        self.backbone = backbone
        with seeded(seed, "head"):
            self.head = mlp(width, hidden_dim, dim, bias=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step."""
        one, two = (gather_rows(self.head(self.backbone(view))) for view in (batch.first, batch.second))
        outcome = vicreg(one, two[: len(one)])
        loss = outcome["loss"]
        if batch.partner_items is not None:
            agreement = invariance(one[batch.partner_items], two[len(one) :])
            loss = loss + batch.partners_weight * INVARIANCE_WEIGHT * agreement
        terms = {name: outcome[name].detach() for name in ("invariance", "variance", "covariance")}
        return {"loss": loss, **terms, "spread": spread(l2_normalise(one.detach()))}
