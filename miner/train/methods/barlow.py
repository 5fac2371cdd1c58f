"""Barlow Twins: dimensions agree between two views and with no other dimension."""

from torch import Tensor, nn

from miner.learning.networks.heads import mlp
from miner.learning.parallel.collectives import gather_rows
from miner.learning.randomness import seeded
from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.barlow_twins import barlow_twins
from miner.train.methods.base import Method


class BarlowTwins(Method):
    """Redundancy reduction (Zbontar et al. 2021, arXiv 2103.03230), with the authors' weight 0.0051.

    The projector has two layers where the authors use three of 8,192 on ImageNet; the last has no offset. What is minimised
    is the paper's sum over `dim`: with SGD, a gradient that grows with the width spoils the first steps of a short run.

    Args:
        backbone: (batch, 3, size, size) -> (batch, width).
        width: of its features.
        hidden_dim, dim: widths of the projector.
        seed: of the projector.
    """

    def __init__(self, backbone: nn.Module, width: int, *, hidden_dim: int, dim: int, seed: int) -> None:
        super().__init__()
        self.backbone = backbone
        with seeded(seed, "head"):
            self.head = mlp(width, hidden_dim, dim, bias=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step."""
        one, two = (gather_rows(self.head(self.backbone(view))) for view in (batch.first, batch.second))
        outcome = barlow_twins(one, two)
        terms = {name: outcome[name].detach() for name in ("on_diagonal", "off_diagonal")}
        return {"loss": outcome["loss"] / one.shape[1], **terms, "spread": spread(l2_normalise(one.detach()))}
