"""What methods have in common whose loss is of the raw embeddings of two views."""

from torch import Tensor, nn

from miner.learning.networks.heads import mlp
from miner.learning.parallel.collectives import gather_rows
from miner.learning.randomness import seeded
from miner.train.data.batch import Batch
from miner.train.methods.base import Method


class TwoEmbeddings(Method):
    """A backbone and a projector whose last layer has no offset. The authors use three layers of 8,192 on ImageNet.

    Args:
        hidden_dim, dim, projector_layers: widths and layers of the projector.
    """

    def __init__(
        self, backbone: nn.Module, width: int, *, hidden_dim: int, dim: int, seed: int, projector_layers: int = 2
    ) -> None:
        super().__init__(backbone)
        with seeded(seed, "head"):
            self.head = mlp(width, *[hidden_dim] * (projector_layers - 1), dim, bias=False)

    def embeddings(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embeddings of the first and the second views of all processes, (batch, dim) and (batch + partners, dim)."""
        one, two = (gather_rows(self.head(self.backbone(view))) for view in (batch.first, batch.second))
        return one, two
