"""Further positives of an anchor, and negatives that are none, against the formulas written out."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from miner.learning.networks.batch_norm import SplitBatchNorm2d
from miner.learning.randomness import generator_for
from miner.train.data.batch import Batch
from miner.train.data.pair_index import PairIndex
from miner.train.methods import Method
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from tests.train.methods.tiny import BATCH, WIDTH, TinyBackbone, further, make, shuffles, views

OWNERS = torch.tensor([0, 0, 3, 6])
PARTNERS = torch.tensor([5, 20, 21, 22])  # image 5 is an anchor of the same batch
PAIRS = torch.tensor([[0, 5], [0, 20], [3, 21], [6, 22], [1, 2]])
WEIGHT = 0.7
IMAGES = 30
PER_ROW = ["moco", "moco symmetric", "simsiam", "byol", "mnn", "dino"]


def ready(case: str) -> Method:
    """A method after two steps, whose normalisation looks at each sample alone."""
    name, _, symmetric = case.partition(" ")
    method = make(name, **({"symmetric": True} if symmetric else {}))
    for step in (1, 2):
        method(ordinary(*views(step), torch.arange(BATCH) + 8 * step, name))
    return method.eval()


def ordinary(first: Tensor, second: Tensor, rows: Tensor, name: str = "") -> Batch:
    return Batch(first, second, rows, rows, shuffles(first, second, generator_for(0, "step"), name=name))


def with_partners(weight: float = WEIGHT, name: str = "") -> Batch:
    (first, second), (_, partners) = views(0), views(3)
    rows = torch.arange(BATCH)
    second = torch.cat([second, partners[: len(OWNERS)]])
    return Batch(
        first,
        second,
        rows,
        torch.cat([rows, PARTNERS]),
        shuffles(first, second, generator_for(0, "step"), name=name),
        partner_items=OWNERS,
        pair_weight=weight,
    )


def loss_of(case: str, batch: Batch) -> Tensor:
    return ready(case)(batch)["loss"]


def own_batch(name: str = "") -> Batch:
    return ordinary(*views(0), torch.arange(BATCH), name)


def total(own: Tensor, of_partners: Tensor) -> Tensor:
    """Eq. 2: the mean over anchors, of which each partner adds its loss."""
    return own + WEIGHT * len(OWNERS) / BATCH * of_partners


@pytest.mark.parametrize("case", PER_ROW)
def test_a_partner_adds_the_loss_of_an_item_of_the_anchor_and_it(case: str) -> None:
    batch = with_partners(name=case)
    items = ordinary(batch.first[OWNERS], batch.second[BATCH:], PARTNERS, case)
    expected = total(loss_of(case, own_batch(case)), loss_of(case, items))
    torch.testing.assert_close(loss_of(case, batch), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", [*PER_ROW, "simclr", "fnc", "nnclr", "vicreg", "patchmix"])
def test_partners_of_no_weight_change_nothing(case: str) -> None:
    own = loss_of(case, own_batch(case))
    torch.testing.assert_close(loss_of(case, with_partners(0.0, case)), own, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(loss_of(case, with_partners(name=case)), own, rtol=1e-5)


def test_vicreg_takes_only_its_invariance_from_partners() -> None:
    batch, method = with_partners(), ready("vicreg")
    one, two = (method.head(method.backbone(view)) for view in (batch.first, batch.second))
    distance = (one[OWNERS] - two[BATCH:]).square().mean()
    expected = total(loss_of("vicreg", own_batch()), 25 * distance)
    torch.testing.assert_close(method(batch)["loss"], expected, atol=1e-5, rtol=1e-5)


def cross_entropy(query: Tensor, positive: Tensor, negatives: list[Tensor]) -> Tensor:
    logits = torch.stack([query @ positive, *(query @ negative for negative in negatives)]) / 0.2
    return torch.logsumexp(logits, 0) - logits[0]


def positives_of(image: int) -> set[int]:
    pairs = PAIRS.tolist()
    return {image} | {b for a, b in pairs if a == image} | {a for a, b in pairs if b == image}


@pytest.mark.parametrize("masked", [False, True])
def test_simclr_contrasts_a_pair_with_the_views_of_other_items(masked: bool) -> None:
    batch, method = with_partners(), ready("simclr")
    one, two = (F.normalize(method.head(method.backbone(view)), dim=1) for view in (batch.first, batch.second))

    def loss(item: int, image: int, query: Tensor, positive: Tensor) -> Tensor:
        none = positives_of(image) if masked else set()
        others = [k for k in range(BATCH) if k != item and k not in none]
        return cross_entropy(query, positive, [view[k] for view in (one, two) for k in others])

    own = [loss(i, i, a, b) for i in range(BATCH) for a, b in ((one[i], two[i]), (two[i], one[i]))]
    further = []
    for k, (i, image) in enumerate(zip(OWNERS.tolist(), PARTNERS.tolist(), strict=True), BATCH):
        further += [loss(i, i, one[i], two[k]), loss(i, image, two[k], one[i])]
    expected = total(torch.stack(own).mean(), torch.stack(further).mean())
    known = PairIndex.of(PAIRS, IMAGES) if masked else None
    torch.testing.assert_close(method(replace(batch, known_positives=known))["loss"], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", ["moco", "moco symmetric", "simclr", "fnc", "nnclr", "patchmix"])
def test_partners_by_rince_near_q_0_are_those_by_info_nce(case: str) -> None:
    batch = with_partners(name=case)
    robust = loss_of(case, replace(batch, rince=(1e-4, 0.5)))
    terms = 2 if case == "moco symmetric" else 1
    expected = total(loss_of(case, batch), torch.tensor(terms * math.log(0.5)))
    torch.testing.assert_close(robust, expected, atol=2e-3, rtol=0)
    assert loss_of(case, replace(batch, rince=(0.5, 0.025))) < loss_of(case, batch)


def test_simclr_takes_rince_for_its_partners_alone() -> None:
    q, density = 0.5, 0.025
    batch, method = with_partners(), ready("simclr")
    one, two = (F.normalize(method.head(method.backbone(view)), dim=1) for view in (batch.first, batch.second))
    terms = []
    for k, i in enumerate(OWNERS.tolist(), BATCH):
        others = [view[j] for view in (one, two) for j in range(BATCH) if j != i]
        for query, positive in ((one[i], two[k]), (two[k], one[i])):
            pos = torch.exp(query @ positive / 0.2)
            every = pos + sum(torch.exp(query @ negative / 0.2) for negative in others)
            terms.append(math.exp(-q / 0.2) * ((density * every) ** q - pos**q) / q)
    expected = total(loss_of("simclr", own_batch()), torch.stack(terms).mean())
    torch.testing.assert_close(method(replace(batch, rince=(q, density)))["loss"], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_nnclr_contrasts_neighbours_with_other_items_predictions(masked: bool) -> None:
    batch, method = with_partners(), ready("nnclr")
    queue = method.queue[: int(method.queued)].clone()
    z = [method.head(method.backbone(view)) for view in (batch.first, batch.second)]
    p_one, p_two = (F.normalize(method.predictor(rows), dim=1) for rows in z)
    near_one, near_two = (queue[(F.normalize(rows, dim=1) @ queue.T).argmax(1)] for rows in z)

    def loss(item: int, image: int, near: Tensor, positive: Tensor, predictions: Tensor) -> Tensor:
        none = positives_of(image) if masked else set()
        return cross_entropy(near, positive, [predictions[k] for k in range(BATCH) if k != item and k not in none])

    own, further = [], []
    for i in range(BATCH):
        own += [loss(i, i, near_one[i], p_two[i], p_two), loss(i, i, near_two[i], p_one[i], p_one)]
    for k, (i, image) in enumerate(zip(OWNERS.tolist(), PARTNERS.tolist(), strict=True), BATCH):
        further += [loss(i, i, near_one[i], p_two[k], p_two), loss(i, image, near_two[k], p_one[i], p_one)]
    expected = total(torch.stack(own).mean(), torch.stack(further).mean())
    known = PairIndex.of(PAIRS, IMAGES) if masked else None
    torch.testing.assert_close(method(replace(batch, known_positives=known))["loss"], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("symmetric", [False, True])
def test_moco_leaves_out_keys_of_the_image_and_of_its_partners(symmetric: bool) -> None:
    """The queue holds images 8 to 23 (of both views when symmetric), then those of one more step."""
    case = "moco symmetric" if symmetric else "moco"
    method = ready(case)
    shown = method.queue_rows[: int(method.queued)].tolist()
    assert shown == [row for step in (1, 2) for _ in range(1 + symmetric) for row in range(8 * step, 8 * step + 8)]
    queue = method.queue[: len(shown)].clone()
    anchors, positives = torch.tensor([0, 3, 9, 6]), torch.tensor([20, 3, 9, 22])
    first, second = (view[:4] for view in views(0))
    orders, index = shuffles(first, second, generator_for(0)), PairIndex.of(PAIRS, IMAGES)
    batch = Batch(first, second, anchors, positives, orders, known_positives=index)
    terms = []
    for query_view, key_view, images in ((first, second, anchors), (second, first, positives))[: 1 + symmetric]:
        queries = F.normalize(method.head(method.backbone(query_view)), dim=1)
        keys = F.normalize(method.key_encoder(key_view), dim=1)
        left = [[n for n, row in zip(queue, shown, strict=True) if row not in positives_of(i)] for i in images.tolist()]
        assert min(map(len, left)) < len(shown)
        losses = [cross(q, k, negatives) for q, k, negatives in zip(queries, keys, left, strict=True)]
        terms.append(torch.stack(losses).mean())
    method.momentum = 1.0
    torch.testing.assert_close(method(batch)["loss"], torch.stack(terms).sum(), atol=1e-5, rtol=1e-5)


def cross(query: Tensor, key: Tensor, negatives: list[Tensor]) -> Tensor:
    """With MoCo's default temperature, half of the others'."""
    return cross_entropy(2 * query, key, negatives)


def test_queue_images_survive_a_checkpoint_without_partners() -> None:
    method = ready("moco")
    method(with_partners())
    assert method.queued.item() == 3 * BATCH and method.queue_rows[:24].tolist() == [*range(8, 24), *range(8)]
    other = make("moco")
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.queue_rows, method.queue_rows)


@pytest.mark.parametrize("name", [name for name in METHOD_DEFAULTS if name != "barlow"])
def test_steps_with_partners_learn_in_bfloat16_in_uneven_parts(name: str) -> None:
    backbone = TinyBackbone()
    backbone.norm = SplitBatchNorm2d(WIDTH, splits=3)
    method = make(name, backbone)
    for _ in range(2):  # the first only fills queues
        with torch.autocast("cpu", torch.bfloat16):
            batch = replace(with_partners(name=name), further=further(name, views(0)[0]))
            outcome = method(replace(batch, known_positives=PairIndex.of(PAIRS, IMAGES)))
    outcome["loss"].backward()
    gradient = backbone.layer.weight.grad
    assert outcome["loss"].isfinite() and gradient.isfinite().all() and gradient.abs().max() > 0
