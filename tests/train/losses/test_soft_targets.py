import pytest
import torch
from torch import nn
from torch.nn import functional as F

from miner.train.losses.soft_targets import common_shares, mixture_shares, relation_logits, soft_cross_entropy
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


@pytest.mark.parametrize(("items", "count"), [(7, 1), (7, 2), (7, 3), (4, 3), (3, 3)])
def test_mixtures_have_in_common_what_a_count_says(items: int, count: int) -> None:
    """Image by image; with few items, mixtures meet around the end of the batch on both sides."""
    shares = mixture_shares(items, torch.full((count,), 1 / count))
    expected = torch.zeros(items, items)
    for one in range(items):
        for two in range(items):
            images = [{(mixture + slot) % items for slot in range(count)} for mixture in (one, two)]
            expected[one, two] = len(images[0] & images[1]) / count**2
            assert shares[one, two].item() == pytest.approx((two in images[0]) / count)
    common = common_shares(shares, shares)
    torch.testing.assert_close(common, expected)
    torch.testing.assert_close(common.sum(dim=1), torch.ones(items))
    torch.testing.assert_close(common_shares(shares, torch.eye(items)), shares)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(common_shares(shares, shares), common)


def test_images_that_count_as_one_are_in_common() -> None:
    alike = torch.eye(5)
    alike[0, 3] = 1.0
    shares = mixture_shares(5, torch.tensor([0.75, 0.25]))
    more = common_shares(shares, shares, alike) - common_shares(shares, shares)
    # Image 0 is in the mixtures 0 and 4, image 3 in the mixtures 3 and 2.
    expected = torch.zeros(5, 5)
    expected[0, 3], expected[0, 2], expected[4, 3], expected[4, 2] = 0.5625, 0.1875, 0.1875, 0.0625
    torch.testing.assert_close(more, expected)
