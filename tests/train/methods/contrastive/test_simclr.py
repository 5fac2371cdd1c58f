import torch
from lightly.loss import NTXentLoss

from miner.learning.randomness import generator_for
from tests.train.methods.tiny import BATCH, batch, make, views


def test_the_loss_is_lightlys_on_one_batch_of_both_views() -> None:
    method, twin = make("simclr"), make("simclr")
    first, second = views(0)
    outcome = method(batch(first, second, generator_for(0)))
    projections = twin.head(twin.backbone(torch.cat([first, second])))
    expected = NTXentLoss(temperature=0.2)(*projections.chunk(2))
    torch.testing.assert_close(outcome["loss"], expected, atol=1e-5, rtol=1e-5)


def test_normalisation_sees_both_views_together() -> None:
    seen = []
    method = make("simclr")
    method.backbone.register_forward_pre_hook(lambda _, arguments: seen.append(len(arguments[0])))
    method(batch(*views(0), generator_for(0)))
    assert seen == [2 * BATCH]
