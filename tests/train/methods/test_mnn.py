"""MNN against its loss written out."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from miner.learning.randomness import generator_for
from miner.train.data.batch import Batch
from miner.train.methods.mnn import MNN
from tests.train.methods.tiny import BATCH, IMAGES, SMALL, batch, make, views

FULL = SMALL["queue_size"] // BATCH  # steps


def mnn(steps: int = 0, **changes: float) -> MNN:
    """In float64, after some steps that fill its queue."""
    method = make("mnn", momentum=1.0, **changes)
    assert isinstance(method, MNN)
    method.double()
    for number in range(steps):
        method(step(number))
    return method


def step(number: int) -> Batch:
    made = batch(*(view.double() for view in views(number)), generator_for(number), name="mnn")
    return replace(made, anchors=made.anchors + BATCH * number, positives=made.positives + BATCH * number)


def expected_loss(twin: MNN, made: Batch, held: int) -> Tensor:
    """The authors' loss, item by item: squared distances to the key, and to its mixtures with neighbours."""
    predictions = [
        F.normalize(twin.predictor(twin.head(twin.backbone(each))), dim=1) for each in (made.first, made.second)
    ]
    with torch.no_grad():
        keys = [F.normalize(twin.target(each), dim=1) for each in (made.first, made.second)]
    total = torch.zeros((), dtype=torch.float64)
    for prediction, key, share in zip(predictions, keys[::-1], made.drawn[0][0].flip(0).double(), strict=True):
        for p, k in zip(prediction, key, strict=True):
            near = sorted(twin.queue[:held], key=lambda other: -(other @ k).item())[: SMALL["neighbors"]] or [k]
            mixtures = [share * other + (1 - share) * k for other in near]
            total = total + (2 - 2 * p @ k) + sum(2 - 2 * p @ mixture for mixture in mixtures) / len(mixtures)
    return total / 2 / BATCH


@pytest.mark.parametrize("steps", [0, 1, FULL + 1])
def test_loss_and_gradient_are_the_authors(steps: int) -> None:
    method = mnn(steps, loss_scale=2.0)
    twin, made = copy.deepcopy(method), step(9)
    loss, expected = method(made)["loss"], expected_loss(twin, made, min(steps, FULL) * BATCH)
    torch.testing.assert_close(4 + loss, expected)
    loss.backward()
    expected.backward()
    for one, two in zip(method.trainable(), twin.trainable(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)


def test_without_neighbours_it_is_twice_byol() -> None:
    """Before the first key is in the queue, a key is its own mixture."""
    method, byol = mnn(), make("byol").double()
    byol.load_state_dict(method.state_dict(), strict=False)
    torch.testing.assert_close(method(step(0))["loss"], 2 * byol(step(0))["loss"])


def test_keys_of_second_views_enter_the_queue_and_of_no_partner() -> None:
    method, made = mnn(1), step(1)
    twin, partner = copy.deepcopy(method), views(3)[1][:1].double()
    more = replace(
        made,
        second=torch.cat([made.second, partner]),
        positives=torch.cat([made.positives, torch.tensor([IMAGES - 1])]),
        partner_items=torch.tensor([2]),
    )
    method(more)
    keys = F.normalize(twin.target(more.second), dim=1)[:BATCH]
    assert method.queued == 2 * BATCH and method.queue_rows[: 2 * BATCH].tolist() == [*range(2 * BATCH)]
    torch.testing.assert_close(method.queue[BATCH : 2 * BATCH], keys)


def test_each_direction_draws_its_share() -> None:
    one, two = mnn(FULL), mnn(FULL)
    made = step(9)
    (shares,) = made.drawn[0]
    assert shares.shape == (2,) and shares.min() >= 0 and shares.max() < 1 and shares[0] != shares[1]
    other = replace(made, drawn=((shares.flip(0),),))
    assert not torch.allclose(one(made)["loss"], two(other)["loss"])


def test_purity_is_the_share_of_neighbours_with_the_label_of_a_key() -> None:
    method = mnn(neighbors=2)
    assert torch.isnan(torch.tensor(method.observe(torch.zeros(IMAGES, dtype=torch.long))["neighbour_purity"]))
    angles = torch.tensor([0.0, 0.1, 0.3, 2.0])
    method.queue[:4] = F.pad(torch.stack([angles.cos(), angles.sin()], dim=1), (0, SMALL["dim"] - 2)).double()
    method.queue_rows[:4] = torch.tensor([7, 3, 5, 1])
    method.queued.fill_(4)
    labels = torch.full((IMAGES,), 9)
    labels[[7, 3, 5, 1]] = torch.tensor([0, 0, 1, -1])
    # Neighbours: of 7: 3 and 5; of 3: 7 and 5; of 5: 3 and 7; the label of 1 is unknown.
    assert method.observe(labels)["neighbour_purity"] == pytest.approx(2 / 6)
