import copy
import math
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
from miner.train.methods.contrastive.reco import ReCo
from tests.train.methods.tiny import BATCH, IMAGES, SIDE, SMALL, batch, make, views

FULL = SMALL["queue_size"] // BATCH  # steps
TERMS = ("contrast", "global_relation", "local_relation")
FLAGS = ("contrast", "global_", "local")


def reco(terms: tuple[str, ...] = TERMS, **changes: Any) -> ReCo:
    method = make("reco", **{name: term in terms for name, term in zip(FLAGS, TERMS, strict=True)}, **changes)
    assert isinstance(method, ReCo)
    return method.double()


def step(number: int, **more: Any) -> Batch:
    return batch(*(view.double() for view in views(number)), generator_for(number), name="reco", **more)


def at_full_queue(terms: tuple[str, ...] = TERMS) -> ReCo:
    method = reco(terms, momentum=1.0)
    with torch.no_grad():  # a key differs from the query of its view
        weight = method.key_encoder[0].layer.weight
        weight.mul_(torch.linspace(-1.0, 2.0, len(weight)).view(-1, 1, 1, 1))
    for number in range(FULL):
        method(step(number))
    return method


def unit(network: Any, images: Tensor) -> Tensor:
    head, backbone = (network.head, network.backbone) if isinstance(network, ReCo) else (network[1], network[0])
    return F.normalize(head(backbone(images)), dim=1)


def mixed(made: Batch) -> tuple[Tensor, float, Tensor]:
    """The first views with the box of other second views, pixel by pixel; their own share; and which those others are."""
    *_, order, (ratio, row, column) = made.drawn[0]
    half = int(SIDE * math.sqrt(1 - ratio)) // 2
    images, pasted = made.first.clone(), 0
    for y in range(max(0, int(SIDE * row) - half), min(SIDE, int(SIDE * row) + half)):
        for x in range(max(0, int(SIDE * column) - half), min(SIDE, int(SIDE * column) + half)):
            images[:, :, y, x], pasted = made.second[order][:, :, y, x], pasted + 1
    return images, 1 - pasted / SIDE**2, order


def expected_terms(twin: ReCo, made: Batch) -> dict[str, Tensor]:
    """The three terms of ReCo as they are in the paper, sample by sample."""
    query = unit(twin, made.first)
    with torch.no_grad():
        first, keys, weak = (unit(twin.key_encoder, each) for each in (made.first, made.second, made.further[0]))
    images, own, order = mixed(made)
    target = F.normalize(own * first + (1 - own) * keys[order], dim=1)
    queries = unit(twin, images)
    sums = dict.fromkeys(TERMS, torch.zeros((), dtype=torch.float64))
    for i in range(BATCH):
        for name, q, positive in (("contrast", query[i], keys[i]), ("local_relation", queries[i], target[i])):
            logits = torch.stack([q @ positive, *(q @ key for key in twin.queue)]) / 0.2
            sums[name] = sums[name] + (logits.logsumexp(0) - logits[0]) / BATCH
        teacher = torch.stack([weak[i] @ key for key in twin.weak_queue]) / 0.04
        student = torch.stack([query[i] @ key for key in twin.weak_queue]) / 0.1
        share = teacher.softmax(0) @ (student.logsumexp(0) - student)
        sums["global_relation"] = sums["global_relation"] + share / BATCH
    return sums


@pytest.mark.parametrize("terms", [TERMS, TERMS[:2], TERMS[::2], TERMS[1:2]])
def test_loss_and_gradient_are_those_of_the_terms_written_out(terms: tuple[str, ...]) -> None:
    method = at_full_queue(terms)
    twin, made = copy.deepcopy(method), step(9)
    outcome = method(made)
    expected = expected_terms(twin, made)
    assert {*outcome} & {*TERMS} == {*terms} and ("accuracy" in outcome) == ("contrast" in terms)
    for name in terms:
        torch.testing.assert_close(outcome[name], expected[name].detach())
    outcome["loss"].backward()
    torch.stack([expected[name] for name in terms]).sum().backward()
    for one, two in zip(method.trainable(), twin.trainable(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)


def test_the_contrast_of_mixtures_is_lightlys_with_a_memory_bank() -> None:
    method = at_full_queue()
    twin, made = copy.deepcopy(method), step(9)
    images, own, order = mixed(made)
    target = own * unit(twin.key_encoder, made.first) + (1 - own) * unit(twin.key_encoder, made.second)[order]
    oracle = NTXentLoss(temperature=0.2, memory_bank_size=(SMALL["queue_size"], SMALL["dim"])).double()
    oracle.memory_bank.bank.copy_(twin.queue)
    expected = oracle(unit(twin, images), F.normalize(target, dim=1).detach())
    torch.testing.assert_close(method(made)["local_relation"], expected.detach(), atol=1e-5, rtol=1e-5)


def test_relations_wait_until_the_queue_is_full() -> None:
    method = reco()
    for number in range(FULL + 1):
        outcome = method(step(number))
        outcome["loss"].backward()
        assert all(parameter.grad.isfinite().all() for parameter in method.trainable())
        for name in TERMS[1:]:
            assert (outcome[name] > 0) == (number == FULL), number


def test_without_relations_it_is_moco() -> None:
    method, moco = reco(("contrast",)), make("moco", temperature=0.2).double()
    for number in range(2):
        made = step(number)
        assert torch.equal(method(made)["loss"], moco(made)["loss"])
    assert torch.equal(method.queue, moco.queue) and not method.weak_queue.any()


def test_weak_keys_have_a_queue_of_their_own_in_the_same_slots() -> None:
    method, made = reco(momentum=1.0), step(0)
    weak = unit(copy.deepcopy(method).key_encoder, made.further[0])
    method(made)
    torch.testing.assert_close(method.weak_queue[:BATCH], weak)
    assert method.queued.item() == BATCH and not torch.allclose(method.queue, method.weak_queue)


def test_partners_join_the_contrast_alone() -> None:
    method, twin = at_full_queue(), at_full_queue()
    made, partners = step(9), step(3).second[:2]
    items = torch.tensor([1, 4])
    more = replace(
        made,
        second=torch.cat([made.second, partners]),
        positives=torch.cat([made.positives, torch.tensor([20, 21])]),
        partner_items=items,
        drawn=(reco().draw(BATCH, BATCH + 2, generator_for(0))[:2] + made.drawn[0][2:],),
    )
    one, two = method.eval()(more), twin.eval()(made)
    assert one["contrast"] > two["contrast"] and method.queued == twin.queued
    for name in TERMS[1:]:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-5)


def test_mixtures_have_no_known_positive_of_either_image_as_negative() -> None:
    method, plain = at_full_queue().eval(), at_full_queue().eval()
    index = PairIndex.of(torch.tensor([[0, 0]]), IMAGES)  # without partners: older keys of an image itself
    assert method.queue_rows.tolist() == [*range(BATCH)] * FULL
    one, two = (each(step(9, known_positives=known)) for each, known in ((method, index), (plain, None)))
    assert one["local_relation"] < two["local_relation"]
    torch.testing.assert_close(one["global_relation"], two["global_relation"])
