import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import Tensor
from torch.nn import functional as F

from miner.learning.randomness import generator_for
from miner.train.data.batch import Batch
from miner.train.data.pair_index import PairIndex
from miner.train.methods.contrastive.fnc import FNC
from tests.train.methods.tiny import BATCH, EPOCH_STEPS, IMAGES, SMALL, batch, make, views

VIEWS = 4
ROWS = torch.arange(BATCH)


def fnc(**changes: Any) -> FNC:
    method = make("fnc", **changes)
    assert isinstance(method, FNC)
    return method.double()


def step(number: int, further: bool = True, **more: Any) -> Batch:
    made = batch(*(view.double() for view in views(number)), generator_for(number), name="fnc", **more)
    return made if further else replace(made, further=())


def unit(head: Any, backbone: Any, made: Batch) -> Tensor:
    """(views, items, dim)."""
    seen = torch.cat([made.first, made.second, *made.further])
    return F.normalize(head(backbone(seen)), dim=1).view(-1, BATCH, SMALL["dim"])


def expected_loss(ours: Tensor, keys: Tensor, queue: Tensor, *, most: int, above: float, **use: bool) -> Tensor:
    """The loss of the authors' code, times one half, column by column."""
    count, columns = len(ours), torch.cat([keys.flatten(0, 1), queue])
    total = torch.zeros((), dtype=torch.float64)
    for i in range(BATCH):
        own = [view * BATCH + i for view in range(count)]
        others = [c for c in range(len(columns)) if c not in own]
        scores = {c: max(keys[view, i] @ columns[c] for view in range(count)) for c in others}
        found = [c for c in sorted(others, key=lambda c: -scores[c])[:most] if scores[c] > above]
        for view in range(count):
            logits = {c: ours[view, i] @ columns[c] / 0.2 for c in range(len(columns)) if c != own[view]}
            positives = [c for c in own if c != own[view]] + (found if use["attract"] else [])
            kept = [value for c, value in logits.items() if not (use["eliminate"] and c in found)]
            mean = torch.stack([logits[c] for c in positives]).mean()
            total = total + (torch.stack(kept).logsumexp(0) - mean) / (BATCH * count)
    return total


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize(("attract", "eliminate"), [(True, False), (False, True), (True, True), (False, False)])
def test_loss_and_gradient_are_those_written_out(attract: bool, eliminate: bool, memory: bool) -> None:
    use = {"attract": attract, "eliminate": eliminate}
    threshold = {"false_negative_cosine": 0.2, "false_negative_quantile": None, "false_negatives": 5}
    method = fnc(**use, **threshold, **({"queue_size": VIEWS * BATCH, "momentum": 1.0} if memory else {}))
    if memory:
        method(step(0))
    twin, made, queue = copy.deepcopy(method), step(1), method.queue.clone()
    ours = unit(twin.head, twin.backbone, made)
    keys = unit(twin.key_encoder[1], twin.key_encoder[0], made).detach() if memory else ours
    outcome, expected = method(made), expected_loss(ours, keys, queue, most=5, above=0.2, **use)
    assert 1 < outcome["false_negatives"] <= 5
    torch.testing.assert_close(outcome["loss"], expected)
    outcome["loss"].backward()
    expected.backward()
    for one, two in zip(method.trainable(), twin.trainable(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)


@pytest.mark.parametrize("change", [{"false_negative_quantile": 1.0}, {"attract": False}, {"false_negative_start": 1}])
def test_two_views_and_nothing_found_are_nt_xent(change: dict[str, Any]) -> None:
    method, simclr, made = fnc(**change), make("simclr").double(), step(0, further=False)
    losses = [each(made)["loss"] for each in (method, simclr)]
    torch.testing.assert_close(*losses, rtol=1e-13, atol=1e-13)
    oracle = NTXentLoss(temperature=0.2)(*unit(simclr.head, simclr.backbone, made))
    torch.testing.assert_close(losses[0], oracle)
    for loss in losses:
        loss.backward()
    for one, two in zip(method.trainable(), simclr.trainable(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-10, atol=1e-13)


def test_found_ones_count_after_the_start_and_are_measured_before() -> None:
    late, never, always = fnc(false_negative_start=1), fnc(attract=False), fnc()
    made = step(0)
    assert late(made)["false_negatives"] > 0
    for number, other in ((EPOCH_STEPS - 1, never), (EPOCH_STEPS, always)):
        torch.testing.assert_close(late(replace(made, step=number))["loss"], other(made)["loss"])


def test_a_memory_finds_nothing_until_it_is_full() -> None:
    method = fnc(queue_size=2 * VIEWS * BATCH, momentum=0.9)
    found = [method(step(number))["false_negatives"] > 0 for number in range(3)]
    assert found == [False, False, True]
    shown = torch.cat([ROWS] * VIEWS)
    assert torch.equal(method.queue_rows, torch.cat([shown, shown])) and method.queued == 3 * VIEWS * BATCH


def test_precision_is_the_share_of_found_views_of_the_anchors_class() -> None:
    method, labels = fnc(), torch.tensor([0, 1] * (IMAGES // 2))
    assert method.observe(labels) == {}
    method(step(0))
    anchors, images, found = method._last_found
    right = [labels[anchors[i]] == labels[images[c]] for i in range(BATCH) for c in range(len(images)) if found[i, c]]
    measured = method.observe(labels)["false_negative_precision"]
    assert len(right) > BATCH and measured == pytest.approx(sum(right) / len(right))
    unknown = method.observe(torch.full_like(labels, -1))["false_negative_precision"]
    assert unknown != unknown


def test_images_of_one_kind_are_found() -> None:
    first, second = (view.double() for view in views(0))
    half = BATCH // 2
    alike = torch.cat([first[:half], first[:half] + 0.01])
    made = replace(step(0, further=False), first=alike, second=alike + 0.01 * second)
    method, labels = fnc(false_negatives=2), ROWS % half
    method(made)
    assert method.observe(labels) == {"false_negative_precision": 1.0}


def test_known_positives_are_neither_negatives_nor_found() -> None:
    pairs = torch.tensor([[0, 1]])
    made = step(0, known_positives=PairIndex.of(pairs, IMAGES))
    method = fnc(false_negative_quantile=0.0, false_negatives=100, attract=False)
    method(made)
    *_, found = method._last_found
    assert found.view(BATCH, VIEWS, BATCH).any(dim=1).logical_not().nonzero().tolist() == sorted(
        [[i, i] for i in range(BATCH)] + [[0, 1], [1, 0]]
    )
    plain = fnc(false_negative_quantile=0.0, false_negatives=100, attract=False)
    assert method(made)["loss"] < plain(step(0))["loss"]


def test_a_pair_is_one_item_whose_views_show_both_images() -> None:
    made = replace(step(0), positives=torch.tensor([9, *range(1, BATCH)]))
    method = fnc()
    method(made)
    anchors, images, _ = method._last_found
    assert anchors[0] == 0 and images.view(VIEWS, BATCH)[:, 0].tolist() == [0, 9, 0, 9]
