import torch
from torch import nn
from torch.nn import functional as F

from miner.train.losses.soft_targets import relation_logits, soft_cross_entropy
from tests.learning.numbers import unit_features

NONE = torch.zeros(7, dtype=torch.bool)


def relation(query: torch.Tensor, weak: torch.Tensor, queue: torch.Tensor, absent: torch.Tensor) -> torch.Tensor:
    """ReSSL's loss, ReCo's global relation."""
    targets = relation_logits(weak, queue, 0.04, absent).softmax(dim=1)
    return soft_cross_entropy(relation_logits(query, queue, 0.1, absent), targets)


def test_value_and_gradient_are_those_of_a_double_loop() -> None:
    query, weak, queue = unit_features(5, 6, "query"), unit_features(5, 6, "weak"), unit_features(7, 6, "queue")
    inputs = [query.clone().requires_grad_() for _ in range(2)]
    loss = relation(inputs[0], weak, queue, NONE)
    expected = torch.zeros((), dtype=torch.float64)
    for q, w in zip(inputs[1], weak, strict=True):
        teacher = [((w @ k) / 0.04).exp() for k in queue]
        student = [((q @ k) / 0.1).exp() for k in queue]
        for t, s in zip(teacher, student, strict=True):
            expected = expected - t / sum(teacher) * (s / sum(student)).log() / len(query)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)


def test_equals_the_cross_entropy_class_of_torch() -> None:
    logits, targets = unit_features(4, 7, "logits").requires_grad_(), unit_features(4, 7, "targets").softmax(dim=1)
    torch.testing.assert_close(soft_cross_entropy(logits, targets), nn.CrossEntropyLoss()(logits, targets))
    assert torch.autograd.gradcheck(lambda rows: soft_cross_entropy(rows, targets), [logits])


def test_absent_places_change_nothing_and_give_no_nan() -> None:
    query, weak, queue = unit_features(5, 6, "query"), unit_features(5, 6, "weak"), unit_features(7, 6, "queue")
    kept, padded = (query.float().requires_grad_() for _ in range(2))
    part = relation(kept, weak.float(), queue[:4].float(), NONE[:4])
    loss = relation(padded, weak.float(), queue.float(), torch.arange(7) >= 4)
    (part + loss).backward()
    torch.testing.assert_close(loss, part)
    torch.testing.assert_close(padded.grad, kept.grad)
    nothing = query.float().requires_grad_()
    relation(nothing, weak.float(), 0 * queue.float(), ~NONE).backward()
    assert torch.equal(nothing.grad, torch.zeros_like(nothing))


def test_relations_are_float32_under_autocast() -> None:
    query, queue = (F.normalize(unit_features(n, 64, "rows").float(), dim=1) for n in (4, 7))
    with torch.autocast("cpu", torch.bfloat16):
        inside = relation_logits(query, queue, 0.1, NONE)
    assert torch.equal(inside, relation_logits(query, queue, 0.1, NONE))
