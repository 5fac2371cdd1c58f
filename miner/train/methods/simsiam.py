"""SimSiam: each view predicts the other one, to which no gradient flows."""

from torch import Tensor, nn

from miner.learning.networks.heads import mlp
from miner.learning.parallel.collectives import gather_rows
from miner.learning.randomness import seeded
from miner.learning.unit_rows import l2_normalise, negative_cosine, spread
from miner.train.data.batch import Batch
from miner.train.methods.base import Method, ParameterGroup
from miner.train.methods.parts.partners import RowIndex, with_partners


class SimSiam(Method):
    """Siamese networks with a stop-gradient (Chen & He 2021, arXiv 2011.10566, algorithm 1).

    The projector ends in a normalisation without scale and offset. The authors use two layers on CIFAR-10 (section D). The
    learning rate of the predictor does not decay (table 1).

    Args:
        hidden_dim, dim, projector_layers: widths and layers of the projector.
        predictor_dim: width of the hidden layer of the predictor, a narrow one.
    """

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        *,
        hidden_dim: int,
        dim: int,
        predictor_dim: int,
        seed: int,
        projector_layers: int = 2,
    ) -> None:
        super().__init__(backbone)
        with seeded(seed, "head"):
            widths = width, *[hidden_dim] * (projector_layers - 1), dim
            self.head = mlp(*widths, last=nn.BatchNorm1d(dim, affine=False), bias=False)
            self.predictor = mlp(dim, predictor_dim, dim)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step."""
        projections = [self.head(self.backbone(view)) for view in (batch.first, batch.second)]
        one, two = (self.predictor(projection) for projection in projections)

        def loss(first: RowIndex, second: RowIndex) -> Tensor:
            there = negative_cosine(one[first], projections[1][second])
            return 0.5 * (there + negative_cosine(two[second], projections[0][first]))

        return batch.outcome(
            with_partners(batch, loss), lambda: {"spread": spread(gather_rows(l2_normalise(projections[0])))}
        )

    def parameter_groups(self) -> list[ParameterGroup]:
        """Backbone and projector follow the schedule of the learning rate; the predictor does not."""
        encoder = [*self.backbone.parameters(), *self.head.parameters()]
        return [ParameterGroup(encoder), ParameterGroup(list(self.predictor.parameters()), constant_lr=True)]
