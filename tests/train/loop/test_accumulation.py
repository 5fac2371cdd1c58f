"""A step in parts against the same step at once."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from miner.learning.randomness import generator_for
from miner.train.data.batch import Batch
from miner.train.loop.optimizer import sum_gradients
from miner.train.methods import Method
from tests.train.methods.tiny import WIDTH, batch, make, views


class PlainBackbone(nn.Module):
    """One convolution, pooled, without batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).relu().mean(dim=(2, 3))


def without_norms(name: str) -> Method:
    method = make(name, PlainBackbone())
    for module in method.modules():
        for child, layer in module.named_children():
            if isinstance(layer, nn.BatchNorm1d):
                setattr(module, child, nn.Identity())
    return method


def step(step_number: int, parts: int = 1) -> Batch:
    return batch(*views(step_number), generator_for(step_number), parts)


def gradients(method: Method) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in method.trainable()]


# moco's and nnclr's keys come from a queue that no part changes; in the first step, nnclr's come from the part.
@pytest.mark.parametrize("name", ["simsiam", "byol", "dino", "moco", "nnclr"])
def test_without_batch_statistics_parts_are_the_whole_batch(name: str) -> None:
    whole = without_norms(name)
    sum_gradients(whole, step(0), 1)
    parts = copy.deepcopy(whole)
    for method in (whole, parts):
        method.zero_grad()
    one = sum_gradients(whole, step(1), 1)
    two = sum_gradients(parts, step(1, 4), 4)
    if name != "nnclr":  # whose negatives are the predictions of the part
        torch.testing.assert_close(one["loss"], two["loss"])
        for left, right in zip(gradients(whole), gradients(parts), strict=True):
            torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-4)
    for key, value in whole.state_dict().items():  # what moves once a step has moved once, to the same place
        torch.testing.assert_close(value, parts.state_dict()[key], msg=key)


def test_negatives_are_those_of_the_part() -> None:
    method = make("simclr").eval()
    parts = sum_gradients(method, step(0), 2)
    halves = [method(half)["loss"] for half in step(0).split(2)]
    torch.testing.assert_close(parts["loss"], torch.stack(halves).mean().detach())
    assert parts["loss"] < method(step(0))["loss"]


def test_parts_follow_each_other_and_hold_everything_once() -> None:
    whole = step(0)
    first, last = whole.split(2)
    assert (first.opens_step, first.closes_step, last.opens_step, last.closes_step) == (True, False, False, True)
    for name in ("first", "second", "anchors", "positives"):
        assert torch.equal(torch.cat([getattr(first, name), getattr(last, name)]), getattr(whole, name))
    assert whole.opens_step and whole.closes_step and first.drawn is whole.drawn


def test_further_positives_go_with_their_items() -> None:
    whole = step(0)
    partner_items = torch.tensor([1, 1, 6])
    more = replace(
        whole,
        second=torch.cat([whole.second, whole.first[:3]]),
        positives=torch.cat([whole.positives, torch.tensor([50, 51, 52])]),
        partner_items=partner_items,
        partner_counts=(2, 0, 0, 1),
    )
    first, middle, last = (more.split(4)[part] for part in (0, 1, 3))
    assert (
        first.partner_items.tolist() == [1, 1] and first.positives.tolist() == [0, 1, 50, 51] and len(first.second) == 4
    )
    assert middle.partner_items is None and len(middle.second) == 2
    assert last.partner_items.tolist() == [0] and last.positives.tolist() == [6, 7, 52]
    assert torch.equal(last.second[2], whole.first[2])
