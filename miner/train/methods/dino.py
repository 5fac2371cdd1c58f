"""DINO: a student learns the prototypes that a slow teacher sees in the other view."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from miner.train.batch import Batch
from miner.train.distributed import gather_rows
from miner.train.losses.dino import dino, moved_centre, teacher_targets
from miner.train.losses.precision import full_precision
from miner.train.methods.base import Method, spread, unit
from miner.train.methods.heads import mlp
from miner.train.methods.momentum import growing_momentum, move_towards, slow_copy
from miner.train.methods.positives import Rows, over_positives
from miner.train.randomness import seeded

BOTTLENECK_DIM = 256
CENTRE_MOMENTUM = 0.9


class DINO(Method):
    """Self-distillation without labels (Caron et al. 2021, arXiv 2104.14294), on two views of full size; there are no small crops.

    Both views go through the networks as one batch, as views of one size do in the authors' code. Prototypes have length 1. The
    teacher averages parameters only; its normalisation stays in train mode and keeps statistics of its own. Its momentum grows to
    1 along half a cosine. The student is kept, which ends where the teacher ends and is ahead of it in short runs.

    Args:
        backbone: (batch, 3, size, size) -> (batch, width).
        width: of its features.
        hidden_dim: of the two hidden layers of the head.
        dim: prototypes.
        temperature: of the student.
        teacher_temperature: below it, which sharpens.
        momentum: of the teacher at the start.
        steps: of the whole run.
        seed: of the head.
    """

    centre: Tensor
    taken: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        *,
        hidden_dim: int,
        dim: int,
        temperature: float,
        teacher_temperature: float,
        momentum: float,
        steps: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        with seeded(seed, "head"):
            self.bottleneck = mlp(width, hidden_dim, hidden_dim, BOTTLENECK_DIM, activation=nn.GELU)
            self.prototypes = nn.Linear(BOTTLENECK_DIM, dim, bias=False)
        self.teacher = slow_copy(nn.Sequential(self.backbone, self.bottleneck))
        self.teacher_prototypes = slow_copy(self.prototypes)
        self.temperature, self.teacher_temperature = temperature, teacher_temperature
        self.momentum, self.steps = momentum, steps
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("taken", torch.zeros((), dtype=torch.long))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step: the teacher follows the last update, the loss is taken, and the centre moves."""
        momentum = growing_momentum(self.momentum, self.taken, self.steps)
        move_towards(self.teacher, [*self.backbone.parameters(), *self.bottleneck.parameters()], momentum)
        move_towards(self.teacher_prototypes, self.prototypes.parameters(), momentum)
        self.taken.add_(1)
        views = torch.cat([batch.first, batch.second])
        features = unit(self.bottleneck(self.backbone(views)))
        items = len(batch.first)
        one, two = prototype_logits(features, self.prototypes.weight).tensor_split([items])
        with torch.no_grad():
            logits = prototype_logits(unit(self.teacher(views)), self.teacher_prototypes.weight)
            targets = teacher_targets(logits, self.centre, self.teacher_temperature)
            target_one, target_two = targets.tensor_split([items])

        def loss(first: Rows, second: Rows) -> Tensor:
            there = dino(one[first], target_two[second], self.temperature)
            return 0.5 * (there + dino(two[second], target_one[first], self.temperature))

        self.centre.copy_(moved_centre(self.centre, gather_rows(logits.mean(dim=0, keepdim=True)), CENTRE_MOMENTUM))
        entropy = torch.special.entr(targets).sum(dim=1).mean()
        total = over_positives(batch, loss)
        return {"loss": total, "teacher_entropy": entropy, "spread": spread(gather_rows(features.detach()))}


@full_precision
def prototype_logits(features: Tensor, prototypes: Tensor) -> Tensor:
    """Cosines to every prototype.

    Args:
        features: unit rows, float32 (batch, dim).
        prototypes: of any length, float32 (count, dim).
    Returns:
        float32 (batch, count).
    """
    return features @ F.normalize(prototypes, dim=1).T
