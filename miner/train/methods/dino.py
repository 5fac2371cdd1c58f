"""DINO: a student learns the prototypes that a momentum teacher assigns to the other view."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from miner.artifacts.runs.manifest import TEACHER_FILE
from miner.learning.networks.heads import mlp
from miner.learning.networks.momentum import momentum_at, move_towards, slow_copy
from miner.learning.networks.weights import save_weights
from miner.learning.parallel.collectives import gather_rows
from miner.learning.precision import full_precision
from miner.learning.randomness import seeded
from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.dino import dino, moved_centre, teacher_targets, with_crops
from miner.train.methods.base import Method
from miner.train.methods.parts.partners import RowIndex, with_partners
from miner.train.methods.parts.queue import StepRows

BOTTLENECK_DIM = 256
CENTRE_MOMENTUM = 0.9


class DINO(Method):
    """Self-distillation without labels (Caron et al. 2021, arXiv 2104.14294), on two views of full size and local crops.

    As in the authors' code, images of one size pass through the backbone as one batch, and all features through the head as one.
    Prototypes have length 1. The teacher sees views of full size only. The teacher averages parameters only: its normalisation
    stays in train mode and has its own statistics. The run keeps the student as its backbone, and the teacher beside it: both end
    at the same weights, in short runs the student is ahead, and published numbers are the teacher's.

    Args:
        hidden_dim: the width of the two hidden layers of the head.
        dim: number of prototypes.
        temperature: the temperature of the student.
        teacher_temperature: lower than the student's, which sharpens the targets.
        teacher_warmup_temperature: the temperature of the teacher in the first step; it then rises in a straight line.
        teacher_warmup_epochs: epochs until the teacher has reached `teacher_temperature`; 0 keeps it constant.
        frozen_epochs: first epochs in which the prototypes do not learn.
        momentum: the momentum of the teacher in the first step.
        momentum_grows: whether it grows to 1, along half a cosine.
        projector_norm: whether the head has batch normalisation; if not given, it has one if the backbone has one.
    """

    centre: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        *,
        hidden_dim: int,
        dim: int,
        temperature: float,
        teacher_temperature: float,
        teacher_warmup_temperature: float,
        teacher_warmup_epochs: int,
        frozen_epochs: int,
        momentum: float,
        steps: int,
        steps_per_epoch: int,
        seed: int,
        projector_norm: bool | None = None,
        momentum_grows: bool = True,
    ) -> None:
        super().__init__(backbone)
        with seeded(seed, "head"):
            if projector_norm is None:
                projector_norm = any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
            self.bottleneck = mlp(
                width, hidden_dim, hidden_dim, BOTTLENECK_DIM, activation=nn.GELU, normalised=projector_norm
            )
            if not projector_norm:
                self.bottleneck.apply(_start_small)
            self.prototypes = nn.Linear(BOTTLENECK_DIM, dim, bias=False)
        self.teacher = slow_copy(nn.Sequential(self.backbone, self.bottleneck))
        self.teacher_prototypes = slow_copy(self.prototypes)
        self.temperature, self.teacher_temperature = temperature, teacher_temperature
        self.teacher_warmup = (teacher_warmup_temperature, teacher_warmup_epochs * steps_per_epoch)
        self.frozen_steps = frozen_epochs * steps_per_epoch
        self.momentum, self.momentum_grows, self.steps = momentum, momentum_grows, steps
        self._means_of_step = StepRows()
        self.register_buffer("centre", torch.zeros(dim))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step: the teacher follows the last update of the weights, the loss is computed, and the centre moves."""
        return self.distil(batch)[0]

    def distil(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """One step, and the backbone features of student and teacher, without graph: (views, width) each."""
        if batch.opens_step:
            self._move_teacher(batch.step)
        views = torch.cat([batch.first, batch.second])
        seen, features, crop_features = self._student(views, batch.further)
        items, prototypes = len(batch.first), self.prototypes.weight
        one, two = prototype_logits(features, prototypes).tensor_split([items])
        with torch.no_grad():
            teacher_backbone, teacher_bottleneck = self.teacher
            seen_by_teacher = teacher_backbone(views)
            logits = prototype_logits(l2_normalise(teacher_bottleneck(seen_by_teacher)), self.teacher_prototypes.weight)
            targets = teacher_targets(logits, self.centre, self._teacher_temperature(batch.step))
            target_one, target_two = targets.tensor_split([items])

        def loss(first: RowIndex, second: RowIndex) -> Tensor:
            there = dino(one[first], target_two[second], self.temperature)
            return 0.5 * (there + dino(two[second], target_one[first], self.temperature))

        for means in self._means_of_step.add(batch, gather_rows(logits.mean(dim=0, keepdim=True))):
            self.centre.copy_(moved_centre(self.centre, means, CENTRE_MOMENTUM))
        total = with_partners(batch, loss)
        if batch.further:
            crops = prototype_logits(crop_features, prototypes).chunk(len(batch.further))
            total = with_crops(total, crops, (target_one, target_two[:items]), self.temperature)
        outcome = batch.outcome(
            total,
            lambda: {
                "teacher_entropy": torch.special.entr(targets).sum(dim=1).mean(),
                "spread": spread(gather_rows(features)),
            },
        )
        return outcome, seen, seen_by_teacher

    def after_backward(self, step: int) -> None:
        """Frozen prototypes get no gradient, as in the authors' code: with zeros, decay and the moments of AdamW would go on."""
        if step < self.frozen_steps:
            self.prototypes.weight.grad = None

    def projector(self) -> nn.Sequential:
        """The head without its prototypes."""
        return self.bottleneck

    def passes(self, seconds: float, crops: float) -> tuple[float, float]:
        return 1 + seconds + crops, 1 + seconds

    def save(self, folder: Path, keys: Sequence[str]) -> list[Path]:
        """The backbone of the teacher."""
        save_weights(folder / TEACHER_FILE, self.teacher[0])
        return [folder / TEACHER_FILE]

    def _move_teacher(self, step: int) -> None:
        momentum = momentum_at(step, self.steps, self.momentum, self.momentum_grows)
        move_towards(self.teacher, [*self.backbone.parameters(), *self.bottleneck.parameters()], momentum)
        move_towards(self.teacher_prototypes, self.prototypes.parameters(), momentum)

    def _student(self, views: Tensor, crops: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Backbone features of the views, without graph; features of length 1 of views and of crops, (rows, bottleneck)."""
        seen = self.backbone(views)
        features = [seen, *([self.backbone(torch.cat(crops))] if crops else [])]
        projected = l2_normalise(self.bottleneck(torch.cat(features)))
        return seen.detach(), projected[: len(views)], projected[len(views) :]

    def _teacher_temperature(self, step: int) -> float:
        start, steps = self.teacher_warmup
        if not steps:
            return self.teacher_temperature
        # Of float32, like the schedules of momentum.
        risen = (torch.tensor(float(step)) / steps).clamp_max(1.0)
        return (start + (self.teacher_temperature - start) * risen).item()


def _start_small(module: nn.Module) -> None:
    """Initialise a head without normalisation as the authors do: larger biases would give all images nearly the same features."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


@full_precision
def prototype_logits(features: Tensor, prototypes: Tensor) -> Tensor:
    """Cosines of features with every prototype.

    Args:
        features: rows of length 1, float32 (batch, dim).
        prototypes: rows of any length, float32 (count, dim).
    Returns:
        float32 (batch, count).
    """
    return features @ F.normalize(prototypes, dim=1).T
