import math

import pytest
import torch
from lightly.loss import DINOLoss

from miner.train.losses.dino import dino, moved_centre, teacher_targets
from tests.learning.numbers import features

PROTOTYPES = 6


def logits(*purpose: str) -> torch.Tensor:
    return features(4, PROTOTYPES, *purpose)


def test_equals_the_papers_formula() -> None:
    student, teacher, centre = logits("student"), logits("teacher"), features(1, PROTOTYPES, "centre")[0]
    losses = []
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        raised = [math.exp((value - c) / 0.04) for value, c in zip(t, centre.tolist(), strict=True)]
        others = sum(math.exp(value / 0.1) for value in s)
        losses.append(
            sum(-r / sum(raised) * math.log(math.exp(v / 0.1) / others) for r, v in zip(raised, s, strict=True))
        )
    loss = dino(student, teacher_targets(teacher, centre, 0.04), 0.1)
    assert loss.item() == pytest.approx(sum(losses) / 4, abs=1e-9)


def test_equals_lightlys_loss_and_centre_over_several_steps() -> None:
    oracle = DINOLoss(output_dim=PROTOTYPES, teacher_temp=0.04, student_temp=0.1, center_momentum=0.9).double()
    centre = torch.zeros(PROTOTYPES, dtype=torch.float64)
    for step in range(3):
        teacher, student = ([logits(who, view, str(step)) for view in "ab"] for who in ("teacher", "student"))
        targets = [teacher_targets(view, centre, 0.04) for view in teacher]
        loss = 0.5 * (dino(student[0], targets[1], 0.1) + dino(student[1], targets[0], 0.1))
        centre = moved_centre(centre, torch.cat(teacher), 0.9)
        # lightly moves its centre after the loss as well.
        torch.testing.assert_close(loss, oracle(teacher, student), atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(centre, oracle.center.flatten(), atol=1e-6, rtol=1e-6)


def test_only_the_student_takes_gradient() -> None:
    student, teacher = logits("student").requires_grad_(), logits("teacher").requires_grad_()
    centre = torch.zeros(PROTOTYPES, dtype=torch.float64)
    dino(student, teacher_targets(teacher, centre, 0.04), 0.1).backward()
    assert student.grad is not None and teacher.grad is None
    assert not moved_centre(centre, teacher, 0.9).requires_grad
    targets = teacher_targets(teacher, centre, 0.04)
    assert torch.autograd.gradcheck(lambda s: dino(s, targets, 0.1), [student])


def test_the_centre_takes_away_what_all_samples_share() -> None:
    teacher = logits("teacher")
    shifted = teacher + torch.arange(PROTOTYPES)
    centre = moved_centre(torch.zeros(PROTOTYPES, dtype=torch.float64), teacher, 0.0)
    other = moved_centre(torch.zeros(PROTOTYPES, dtype=torch.float64), shifted, 0.0)
    torch.testing.assert_close(teacher_targets(teacher, centre, 0.04), teacher_targets(shifted, other, 0.04))


def test_a_lower_temperature_sharpens() -> None:
    centre = torch.zeros(PROTOTYPES, dtype=torch.float64)
    sharp, soft = (teacher_targets(logits("teacher"), centre, temperature) for temperature in (0.04, 0.4))
    assert (sharp.amax(1) > soft.amax(1)).all()
    torch.testing.assert_close(sharp.sum(1), torch.ones(4, dtype=torch.float64))
