import math
from dataclasses import replace

import pytest
import torch
from lightly.loss import DINOLoss
from torch import nn
from torch.nn import functional as F

from miner.learning.randomness import generator_for
from miner.train.loop.optimizer import ScheduledOptimizer, sum_gradients
from miner.train.methods.dino import prototype_logits
from tests.train.methods.tiny import BATCH, EPOCH_STEPS, SIDE, SMALL, WIDTH, batch, make, views
from tests.train.plans import plan


def local_views(step: int, count: int) -> tuple[torch.Tensor, ...]:
    """Crops of the views of a step, of another size."""
    return tuple(views(step)[number % 2][..., number : number + 5, :5] for number in range(count))


def test_loss_and_centre_are_lightlys_over_several_steps() -> None:
    method = make("dino")
    oracle = DINOLoss(output_dim=SMALL["dim"], teacher_temp=0.04, student_temp=0.1, center_momentum=0.9)
    for step in range(3):
        both = torch.cat(views(step))
        outcome = method(batch(*views(step), generator_for(step)))
        with torch.no_grad():  # the networks do not learn here, so they are still those of the step
            student, teacher = (
                prototype_logits(F.normalize(bottleneck(backbone(both)), dim=1), prototypes.weight).chunk(2)
                for backbone, bottleneck, prototypes in (
                    (method.backbone, method.bottleneck, method.prototypes),
                    (*method.teacher, method.teacher_prototypes),
                )
            )
        torch.testing.assert_close(outcome["loss"].detach(), oracle(teacher, student), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(method.centre, oracle.center.flatten(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_with_local_crops_the_loss_is_lightlys_over_all_pairs(count: int) -> None:
    method = make("dino")
    oracle = DINOLoss(output_dim=SMALL["dim"], teacher_temp=0.04, student_temp=0.1, center_momentum=0.9)
    for step in range(2):
        both, crops = torch.cat(views(step)), local_views(step, count)
        outcome = method(replace(batch(*views(step), generator_for(step)), further=crops))
        with torch.no_grad():
            features = torch.cat([method.backbone(both), method.backbone(torch.cat(crops))])
            students = prototype_logits(F.normalize(method.bottleneck(features), dim=1), method.prototypes.weight)
            teachers = prototype_logits(F.normalize(method.teacher(both), dim=1), method.teacher_prototypes.weight)
            centre = oracle.center.flatten().clone()
        pairs = [
            -(((teacher - centre) / 0.04).softmax(1) * (student / 0.1).log_softmax(1)).sum(1).mean()
            for t, teacher in enumerate(teachers.chunk(2))
            for s, student in enumerate(students.chunk(2 + count))
            if s != t
        ]
        assert len(pairs) == 2 + 2 * count
        torch.testing.assert_close(outcome["loss"].detach(), torch.stack(pairs).mean(), atol=1e-6, rtol=1e-6)
        expected = oracle(list(teachers.chunk(2)), list(students.chunk(2 + count)))
        torch.testing.assert_close(outcome["loss"].detach(), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(method.centre, oracle.center.flatten(), atol=1e-6, rtol=1e-6)


def test_the_teacher_sees_no_local_crop() -> None:
    method, seen = make("dino"), []
    method.teacher[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    method(replace(batch(*views(0), generator_for(0)), further=local_views(0, 2)))
    assert seen == [(2 * BATCH, 3, SIDE, SIDE)]


@pytest.mark.parametrize("name", ["dino", "graphnnclr"])
def test_frozen_prototypes_start_adamw_when_they_thaw(name: str) -> None:
    method, lr = make(name, frozen_epochs=1), 0.01
    updates = ScheduledOptimizer(plan(method=name, optimizer="adamw", lr_peak=lr, weight_decay=0.4), method)
    weights = [method.prototypes.weight.detach().clone()]
    for step in range(EPOCH_STEPS + 1):
        updates.prepare(step)
        sum_gradients(method, batch(*views(step), generator_for(step)), 2)
        method.after_backward(step)
        updates.apply()
        weights.append(method.prototypes.weight.detach().clone())
    assert all(torch.equal(weight, weights[0]) for weight in weights[: EPOCH_STEPS + 1])
    # The first step of AdamW has the length of the learning rate in each number.
    moved = weights[-1] - weights[0] * (1 - updates.lrs[EPOCH_STEPS] * 0.4)
    torch.testing.assert_close(moved.abs().median(), torch.tensor(updates.lrs[EPOCH_STEPS]).float(), rtol=0.01, atol=0)


def test_the_teachers_temperature_rises_along_a_line_and_stays() -> None:
    method = make("dino", teacher_warmup_temperature=0.02, teacher_temperature=0.06, teacher_warmup_epochs=2)
    temperatures = [method._teacher_temperature(step) for step in range(10)]
    expected = [0.02 + 0.04 * min(step / 8, 1) for step in range(10)]  # two epochs of four steps
    assert temperatures == pytest.approx(expected)


def test_the_head_has_no_normalisation_on_a_backbone_without() -> None:
    with_norm, without = make("dino"), make("dino", nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, WIDTH)))
    assert [module for module in with_norm.bottleneck if isinstance(module, nn.BatchNorm1d)]
    assert not [module for module in without.modules() if isinstance(module, nn.BatchNorm1d)]
    assert all(module.bias.abs().max() == 0 for module in without.bottleneck if isinstance(module, nn.Linear))


def test_the_whole_student_is_followed() -> None:
    method = make("dino", momentum=0.75)
    pairs = [
        *zip(method.teacher[0].parameters(), method.backbone.parameters(), strict=True),
        *zip(method.teacher[1].parameters(), method.bottleneck.parameters(), strict=True),
        *zip(method.teacher_prototypes.parameters(), method.prototypes.parameters(), strict=True),
    ]
    before = [slow.clone() for slow, _ in pairs]
    with torch.no_grad():
        for _, fast in pairs:
            fast.add_(1.0)
    method(batch(*views(0), generator_for(0)))
    for (slow, _), start in zip(pairs, before, strict=True):
        torch.testing.assert_close(slow, start + 0.25)


def test_prototypes_have_no_length() -> None:
    features, prototypes = F.normalize(torch.randn(3, 5), dim=1), torch.randn(4, 5)
    logits = prototype_logits(features, prototypes)
    torch.testing.assert_close(logits, prototype_logits(features, 7 * prototypes))
    assert logits.abs().max() <= 1 + 1e-6


def test_the_teachers_entropy_tells_of_both_collapses() -> None:
    method = make("dino")
    with torch.no_grad():
        method.teacher_prototypes.weight.copy_(method.teacher_prototypes.weight[:1].expand(SMALL["dim"], -1))
    alike = method(batch(*views(0), generator_for(0)))["teacher_entropy"].item()
    assert alike == pytest.approx(math.log(SMALL["dim"]), rel=1e-4)
    method.centre[0] = -100.0
    assert method(batch(*views(1), generator_for(1)))["teacher_entropy"].item() == pytest.approx(0.0, abs=1e-6)
