"""BYOL: each view predicts the projection of the other one by a momentum encoder."""

import torch
from torch import Tensor, nn

from miner.learning.networks.heads import mlp
from miner.learning.networks.momentum import momentum_at, move_towards, slow_copy
from miner.learning.parallel.collectives import gather_rows
from miner.learning.randomness import seeded
from miner.learning.unit_rows import l2_normalise, negative_cosine, spread
from miner.train.data.batch import Batch
from miner.train.methods.base import Method
from miner.train.methods.parts.partners import RowIndex, with_partners


class BYOL(Method):
    """Bootstrap your own latent (Grill et al. 2020, arXiv 2006.07733).

    The loss is the mean of -cos over both directions. The paper's sum of 2 - 2 cos is 4 + 4 times this loss: `loss_scale` 4 has
    its gradient. What the factor 4 changes depends on the optimizer. SGD: it multiplies the learning rate by 4 and divides the
    weight decay by 4. LARS: biases and normalisations move 4 times as far, weights nearly as before, and --trust-clip acts on
    other steps. AdamW: nothing.

    The target averages parameters only: its normalisation stays in train mode and has its own statistics.

    Args:
        hidden_dim, dim, projector_layers: widths and layers of the projector.
        predictor_dim: width of the hidden layer of the predictor.
        momentum: the momentum of the target in the first step.
        momentum_grows: whether it grows to 1, along half a cosine.
        loss_scale: factor of the loss.
    """

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        *,
        hidden_dim: int,
        dim: int,
        predictor_dim: int,
        momentum: float,
        steps: int,
        seed: int,
        loss_scale: float = 1.0,
        projector_layers: int = 2,
        momentum_grows: bool = True,
    ) -> None:
        super().__init__(backbone)
        with seeded(seed, "head"):
            self.head = mlp(width, *[hidden_dim] * (projector_layers - 1), dim)
            self.predictor = mlp(dim, predictor_dim, dim)
        self.target = slow_copy(nn.Sequential(self.backbone, self.head))
        self.momentum, self.momentum_grows, self.steps, self.loss_scale = momentum, momentum_grows, steps, loss_scale

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step: the target follows the last update of the weights, then the loss is computed."""
        if batch.opens_step:
            online = [*self.backbone.parameters(), *self.head.parameters()]
            momentum = momentum_at(batch.step, self.steps, self.momentum, self.momentum_grows)
            move_towards(self.target, online, momentum)
        projections = [self.head(self.backbone(view)) for view in (batch.first, batch.second)]
        one, two = (self.predictor(projection) for projection in projections)
        target_one, target_two = self._targets(batch)

        def loss(first: RowIndex, second: RowIndex) -> Tensor:
            there = self._error(one[first], target_two[second])
            return 0.5 * (there + self._error(two[second], target_one[first]))

        return batch.outcome(
            self.loss_scale * with_partners(batch, loss),
            lambda: {"spread": spread(gather_rows(l2_normalise(projections[0])))},
        )

    @torch.no_grad()
    def _targets(self, batch: Batch) -> list[Tensor]:
        """What the other views predict: of the first and of the second views."""
        return [self.target(view) for view in (batch.first, batch.second)]

    def _error(self, prediction: Tensor, target: Tensor) -> Tensor:
        return negative_cosine(prediction, target)

    def passes(self, seconds: float, crops: float) -> tuple[float, float]:
        return 1 + seconds, 1 + seconds
