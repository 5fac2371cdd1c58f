"""SimCLR: each view against all other images of the batch."""

import torch
from torch import Tensor, nn

from miner.train.batch import Batch
from miner.train.distributed import gather_rows
from miner.train.losses.info_nce import contrastive_accuracy, info_nce
from miner.train.losses.nt_xent import nt_xent_logits
from miner.train.methods.base import Method, spread, unit
from miner.train.methods.heads import mlp
from miner.train.randomness import seeded


class SimCLR(Method):
    """Contrast within the batch (Chen et al. 2020, arXiv 2002.05709).

    Both views go through the networks as one batch, so that normalisation sees all of it, as over the authors' devices. The
    projector normalises its output too, as their code does.

    Args:
        backbone: (batch, 3, size, size) -> (batch, width).
        width: of its features.
        hidden_dim, dim: widths of the projector.
        temperature: of the loss.
        seed: of the projector.
    """

    def __init__(
        self, backbone: nn.Module, width: int, *, hidden_dim: int, dim: int, temperature: float, seed: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        with seeded(seed, "head"):
            self.head = mlp(width, hidden_dim, dim, last=nn.BatchNorm1d(dim), bias=False)
        self.temperature = temperature

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step."""
        projections = unit(self.head(self.backbone(torch.cat([batch.first, batch.second]))))
        one, two = (gather_rows(rows) for rows in projections.chunk(2))
        logits = nt_xent_logits(one, two, self.temperature)
        with torch.no_grad():
            metrics = {"accuracy": contrastive_accuracy(logits), "spread": spread(torch.cat([one, two]))}
        return {"loss": info_nce(logits), **metrics}
