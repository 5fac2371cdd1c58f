import math

import pytest
import torch
from lightly.loss import DINOLoss
from torch.nn import functional as F

from miner.train.methods.dino import prototype_logits
from miner.train.randomness import generator
from tests.train.methods.tiny import SMALL, batch, make, views


def test_loss_and_centre_are_lightlys_over_several_steps() -> None:
    method = make("dino")
    oracle = DINOLoss(output_dim=SMALL["dim"], teacher_temp=0.04, student_temp=0.1, center_momentum=0.9)
    for step in range(3):
        both = torch.cat(views(step))
        outcome = method(batch(*views(step), generator(step)))
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
    method(batch(*views(0), generator(0)))
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
    alike = method(batch(*views(0), generator(0)))["teacher_entropy"].item()
    assert alike == pytest.approx(math.log(SMALL["dim"]), rel=1e-4)
    method.centre[0] = -100.0
    assert method(batch(*views(1), generator(1)))["teacher_entropy"].item() == pytest.approx(0.0, abs=1e-6)
