import torch

from miner.train.losses.info_nce import info_nce
from miner.train.losses.multi_positive import multi_positive
from miner.train.losses.nt_xent import nt_xent_logits
from tests.learning.numbers import features, unit_features

POSITIVES = torch.tensor([[0, 1, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 1]]).bool()
ABSENT = torch.tensor([[1, 0, 1, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]]).bool()


def test_value_and_gradient_are_those_of_a_double_loop() -> None:
    inputs = [features(3, 5, "logits").requires_grad_() for _ in range(2)]
    loss, expected = multi_positive(inputs[0], POSITIVES, ABSENT), torch.zeros((), dtype=torch.float64)
    for row, positives, absent in zip(inputs[1], POSITIVES, ABSENT, strict=True):
        every = sum(value.exp() for value, gone in zip(row, absent, strict=True) if not gone)
        shares = [(value.exp() / every).log() for value, chosen in zip(row, positives, strict=True) if chosen]
        expected = expected - sum(shares) / len(shares) / 3
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)


def test_with_one_positive_it_is_nt_xent() -> None:
    first, second = unit_features(4, 6, "first"), unit_features(4, 6, "second")
    views, own = torch.cat([first, second]), torch.eye(8).bool()
    loss = multi_positive(views @ views.T / 0.2, own.roll(4, dims=1), own)
    torch.testing.assert_close(loss, info_nce(nt_xent_logits(first, second, 0.2)), rtol=1e-12, atol=1e-12)


def test_the_loss_is_float32_under_autocast() -> None:
    logits = features(3, 5, "logits").bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = multi_positive(logits, POSITIVES, ABSENT)
    assert loss.dtype == torch.float32 and torch.equal(loss, multi_positive(logits.float(), POSITIVES, ABSENT))
