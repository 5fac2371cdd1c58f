import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from miner.learning.randomness import generator_for
from miner.train.data.batch import Batch
from miner.train.data.batch_maker import BatchMaker
from miner.train.data.pair_index import PairIndex
from miner.train.methods import build_method
from miner.train.methods.contrastive.patchmix import PatchMix
from miner.train.settings.options import TrainOptions
from miner.train.settings.plan import make_plan
from tests.train.methods.tiny import BATCH, IMAGES, batch, make, views
from tests.train.plans import CPU, plan

POSITIVES = torch.tensor([0, 9, 2, 11, 4, 5, 14, 7])  # three items are pairs
PAIRS = torch.tensor([[1, 9], [3, 11], [6, 14], [0, 5], [2, 14]])
CROP_GRIDS = (4, 4, 2, 2, 2)


def patchmix(**changes: Any) -> PatchMix:
    """A method whose key encoder stands still, at other weights than the network that learns."""
    method = make("patchmix", **{"momentum": 1.0, **changes})
    assert isinstance(method, PatchMix)
    if method.key_encoder is not None:
        with torch.no_grad():
            for parameter in method.key_encoder.parameters():
                parameter.mul_(1 + 0.3 * torch.rand(parameter.shape, generator=generator_for(0, "keys")))
    return method.double()


def step(method: PatchMix, number: int = 0, **more: Any) -> Batch:
    first, second = (view.double() for view in views(number))
    drawn = (method.draw(BATCH, BATCH, generator_for(number)),)
    made = batch(first, second, generator_for(number), name="patchmix", **more)
    crops = tuple(second[..., place : place + 4, place : place + 4] for place in range(len(drawn[0]) - 2))
    return replace(made, positives=POSITIVES, drawn=drawn, further=crops)


def rows_of(network: Any, view: Tensor, *, queries: bool = False) -> Tensor:
    if not queries and network.key_encoder is not None:
        return F.normalize(network.key_encoder(view), dim=1)
    projections = network.head(network.backbone(view))
    return F.normalize(network.predictor(projections) if queries else projections, dim=1)


def mixture(images: Tensor, slots: Tensor) -> tuple[Tensor, list[dict[int, float]]]:
    """Mixed images, pixel by pixel, and the share of each item in each of them."""
    mixed, size = images.clone(), images.shape[-1]
    shares: list[dict[int, float]] = [{} for _ in images]
    for item in range(len(images)):
        for y in range(size):
            for x in range(size):
                slot = int(slots[y * len(slots) // size, x * len(slots) // size])
                other = (item + slot) % len(images)
                mixed[item, :, y, x] = images[other, :, y, x]
                shares[item][other] = shares[item].get(other, 0.0) + 1 / size**2
    return mixed, shares


class Side:
    """Features, the shares of items, and the image that each item shows."""

    def __init__(self, features: Tensor, shown: Tensor, shares: list[dict[int, float]] | None = None) -> None:
        self.features, self.shown = features, shown.tolist()
        self.shares = shares or [{item: 1.0} for item in range(len(features))]


def positives_of(image: int) -> set[int]:
    pairs = PAIRS.tolist()
    return {image} | {b for a, b in pairs if a == image} | {a for a, b in pairs if b == image}


def cross_entropy(queries: Side, keys: Side, soft: bool, masked: bool) -> Tensor:
    """Mean over queries of - sum over keys of target x log softmax, with temperature 0.2."""
    total = torch.zeros((), dtype=torch.float64)
    for i, query in enumerate(queries.features):
        targets, logits = [], []
        for j, key in enumerate(keys.features):
            common = sum(share * keys.shares[j].get(item, 0.0) for item, share in queries.shares[i].items())
            target = common if soft else float(i == j)
            near = {image for item in queries.shares[i] for image in positives_of(queries.shown[item])}
            if target or not (masked and near & {keys.shown[item] for item in keys.shares[j]}):
                targets.append(target)
                logits.append(query @ key / 0.2)
        assert sum(targets) == pytest.approx(1)
        whole = torch.stack(logits).logsumexp(0)
        total = total + sum(t * (whole - logit) for t, logit in zip(targets, logits, strict=True)) / len(
            queries.features
        )
    return total


def expected_terms(twin: PatchMix, made: Batch, soft: bool, masked: bool) -> dict[str, Tensor]:
    """The terms of PatchMix as they are in the authors' code, query by query and key by key."""
    (slots_one, slots_two, *slots_crops), anchors, positives = made.drawn[0], made.anchors, made.positives
    (mixed_one, shares_one), (mixed_two, shares_two) = mixture(made.first, slots_one), mixture(made.second, slots_two)
    query = Side(rows_of(twin, made.first, queries=True), anchors)
    mixed = Side(rows_of(twin, mixed_two, queries=True), positives, shares_two)
    with torch.no_grad():
        one, two = Side(rows_of(twin, made.first), anchors), Side(rows_of(twin, made.second), positives)
        mixed_keys = Side(rows_of(twin, mixed_one), anchors, shares_one)
    terms = {
        "contrast": cross_entropy(query, two, soft, masked),
        "mixed_to_single": cross_entropy(mixed, one, soft, masked) / 2,
        "mixed_to_mixed": cross_entropy(mixed, mixed_keys, soft, masked) / 2,
    }
    if made.further:
        mixtures = [mixture(crop, slots) for crop, slots in zip(made.further, slots_crops, strict=True)]
        sides = []
        for crops, shares in (
            (list(made.further), [None] * len(made.further)),
            ([crop for crop, _ in mixtures], [share for _, share in mixtures]),
        ):
            features = rows_of(twin, torch.cat(crops), queries=True).chunk(len(crops))
            sides += [
                Side(rows, (anchors, positives)[number % 2], share)
                for number, (rows, share) in enumerate(zip(features, shares, strict=True))
            ]
        losses = [cross_entropy(side, keys, soft, masked) for side in sides for keys in (one, two)]
        terms["crops"] = torch.stack(losses).sum() / len(made.further)
    return terms


@pytest.mark.parametrize(
    ("changes", "masked"),
    [
        ({}, False),
        ({}, True),
        ({"mixed_images": 3, "momentum": 0.0}, False),
        ({"mixed_images": 1}, True),
        ({"soft_targets": False}, True),
        ({"mixed_to_mixed": False}, False),
        ({"mixed_grids": CROP_GRIDS}, False),
        ({"mixed_grids": CROP_GRIDS}, True),
    ],
    ids=str,
)
def test_loss_and_gradient_are_those_of_the_terms_written_out(changes: dict[str, Any], masked: bool) -> None:
    method = patchmix(**changes)
    twin = copy.deepcopy(method)
    made = step(method, known_positives=PairIndex.of(PAIRS, IMAGES) if masked else None)
    outcome, expected = method(made), expected_terms(twin, made, method.soft_targets, masked)
    if not method.mixed_to_mixed:
        del expected["mixed_to_mixed"]
    assert outcome.keys() == {"loss", "accuracy", "spread", *expected}
    for name, term in expected.items():
        torch.testing.assert_close(outcome[name], term.detach(), msg=name)
    outcome["loss"].backward()
    total = torch.stack(list(expected.values())).sum()
    total.backward()
    torch.testing.assert_close(outcome["loss"], total)
    for one, two in zip(method.trainable(), twin.trainable(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)


def test_with_one_image_it_is_the_symmetric_contrast() -> None:
    method = patchmix(mixed_images=1)
    twin, made = copy.deepcopy(method), step(method)
    own, loss = torch.arange(BATCH), torch.zeros((), dtype=torch.float64)
    for query, key in ((made.first, made.second), (made.second, made.first)):
        logits = rows_of(twin, query, queries=True) @ rows_of(twin, key).T / 0.2
        loss = loss + F.cross_entropy(logits, own)
    torch.testing.assert_close(method(made)["loss"], loss)


def test_partners_join_the_contrast_of_single_images_alone() -> None:
    method = patchmix().eval()
    made, owners = step(method), torch.tensor([1, 4, 4])
    partners = step(method, 3).second[:3]
    more = replace(
        made,
        second=torch.cat([made.second, partners]),
        positives=torch.cat([made.positives, torch.tensor([20, 21, 22])]),
        partner_items=owners,
        pair_weight=0.7,
    )
    alone, joined = method(made), method(more)
    queries, keys = rows_of(method, made.first, queries=True), rows_of(method, more.second)
    added = torch.zeros((), dtype=torch.float64)
    for place, item in enumerate(owners.tolist(), BATCH):
        others = [keys[other] for other in range(BATCH) if other != item]
        logits = torch.stack([queries[item] @ key for key in (keys[place], *others)]) / 0.2
        added = added + 0.7 / BATCH * (logits.logsumexp(0) - logits[0])
    torch.testing.assert_close(joined["contrast"], (alone["contrast"] + added).detach())
    for name in ("mixed_to_single", "mixed_to_mixed"):
        torch.testing.assert_close(joined[name], alone[name])


def test_each_part_of_a_step_mixes_its_own_items() -> None:
    method = make("patchmix", momentum=1.0).eval()
    first, second = views(0)
    whole = batch(first, second, generator_for(0), parts=2, name="patchmix")
    halves = [
        replace(whole, **{name: getattr(whole, name)[rows] for name in ("first", "second", "anchors", "positives")})
        for rows in (slice(0, 4), slice(4, 8))
    ]
    for part, half in zip(whole.split(2), halves, strict=True):
        alone = replace(half, drawn=(whole.drawn[part.part],))
        torch.testing.assert_close(method(part)["loss"], method(alone)["loss"], rtol=1e-5, atol=0)


def test_the_key_encoder_is_kept_where_there_is_one(tmp_path: Path) -> None:
    assert make("patchmix", momentum=0.0).save(tmp_path, []) == [] and not [*tmp_path.iterdir()]
    assert [path.name for path in make("patchmix").save(tmp_path, [])] == ["teacher.safetensors"]


def test_a_vit_learns_from_mixtures_of_its_patches_and_of_local_crops() -> None:
    sides = {"patch_size": 4, "image_size": 16, "stem": None, "local_size": 8, "local_crops": 3}
    chosen = plan(method="patchmix", backbone="vit_tiny", **sides, hidden_dim=16, dim=8, predictor_dim=8)
    method = build_method(chosen)
    images = torch.randint(0, 256, (20, 3, 16, 16), generator=generator_for(0)).to(torch.uint8)
    made = BatchMaker(chosen, images, CPU, None, method.draw)(torch.arange(10).view(2, 5), 0)
    assert [len(slots) for slots in made.drawn[0]] == [4, 4, 2, 2, 2]
    outcome = method(made)
    outcome["loss"].backward()
    assert outcome["crops"] > 0 and method.backbone.patch_embed.proj.weight.grad.abs().sum() > 0


def test_controls_have_the_steps_and_schedules_of_the_method() -> None:
    controls = ({}, {"mixed_images": 1}, {"soft_targets": False}, {"mixed_to_mixed": False})
    asked = {"method": "patchmix", "optimizer": "adamw", "final_weight_decay": 0.4, "warmup_epochs": 2}
    counts = {"images": 400, "mined": 90, "pairs": 90, "side": 32, "precision": "fp32", "processes": 1}
    plans = [make_plan(TrainOptions.parse({**asked, **changes}), **counts).plain() for changes in controls]
    for changes, made in zip(controls, plans, strict=True):
        assert {name for name, value in plans[0].items() if made[name] != value} == {*changes}
    assert [make("patchmix", **changes).passes(1, 0) for changes in controls] == [(2, 3)] * 3 + [(2, 2)]
