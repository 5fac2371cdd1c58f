from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from miner.errors import MinerError
from miner.learning.randomness import generator_for
from miner.train.data.arm_pairs import ArmPairs, draw_pairs, draw_random_pairs, shuffled_partners
from miner.train.data.pairs_by_label import pairs_of_each_class
from miner.train.data.sampler import CombinedSampler
from miner.train.settings.arms import PAIRS_ARMS, PairsArm

IMAGES, CLASSES = 30, 3
DRAWING_ARMS = [
    *(name for name in PAIRS_ARMS if name not in ("none", "equal-steps") and "=" not in name),
    "precision=0.4",
]


@st.composite
def mined_pairs(draw: st.DrawFn) -> Tensor:
    """Pairs of different images, of which some are hubs."""
    images = draw(st.integers(2, IMAGES))
    pair = st.tuples(st.integers(0, images - 1), st.integers(0, images - 1)).filter(lambda ends: ends[0] != ends[1])
    return torch.tensor(draw(st.lists(pair, min_size=1, max_size=60)))


def labels_of(seed: int) -> Tensor:
    """Three classes in a random order, at least two images each."""
    return (torch.arange(IMAGES) % CLASSES)[torch.randperm(IMAGES, generator=generator_for(seed, "labels"))]


def degrees(rows: Tensor) -> Tensor:
    return torch.bincount(rows.flatten(), minlength=IMAGES)


@settings(max_examples=60, deadline=None)
@given(mined=mined_pairs(), seed=st.integers(0, 99), name=st.sampled_from(DRAWING_ARMS))
def test_every_arm_has_as_many_pairs_and_repeats_them_by_seed(mined: Tensor, seed: int, name: str) -> None:
    arm, before = PairsArm.parse(name), mined.clone()
    drawn, again = (draw_pairs(arm, mined, labels_of(seed), seed) for _ in range(2))
    assert drawn.rows.shape == ((1 + (name == "matched-images")) * len(mined), 2) and drawn.rows.dtype == torch.long
    assert int(drawn.rows.min()) >= 0 and int(drawn.rows.max()) < IMAGES
    assert torch.equal(drawn.rows, again.rows) and torch.equal(mined, before)
    themselves = int((drawn.rows[:, 0] == drawn.rows[:, 1]).sum())
    of_images = {"random-added": len(mined), "matched-augmented": len(mined), "matched-images": 2 * len(mined)}
    assert themselves == {**of_images, "matched-half": len(mined) - len(mined) // 2}.get(name, 0)


@settings(max_examples=40, deadline=None)
@given(mined=mined_pairs(), seed=st.integers(0, 99))
def test_matched_arms_have_the_images_of_the_pairs(mined: Tensor, seed: int) -> None:
    augmented, half, images = (
        draw_pairs(PairsArm(f"matched-{name}"), mined, labels_of(seed), seed).rows
        for name in ("augmented", "half", "images")
    )
    assert (augmented[:, :1] == mined).any(dim=1).all()
    # One of two kinds in each place, so the three arms differ in nothing but the kind of the pair.
    assert ((half == mined).all(dim=1) | (half == augmented).all(dim=1)).all()
    # Views of each image in an epoch: as many in half of an epoch of `matched-images` as in one of `pairs-only`.
    assert torch.equal(degrees(images), 2 * degrees(mined))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), per_class=st.integers(1, 5))
def test_pairs_of_each_class_share_no_image(seed: int, per_class: int) -> None:
    labels = labels_of(seed)
    rows = pairs_of_each_class(labels, per_class, generator_for(seed))
    assert rows.shape == (CLASSES * per_class, 2) and len(rows.unique()) == rows.numel()
    assert labels[rows].tolist() == [[label, label] for label in range(CLASSES) for _ in range(per_class)]
    # Matched sets: equally many pairs of each class in all arms, and both images or one of them.
    for name, count, images in (("pairs-only", 1, 2), ("matched-augmented", 1, 1), ("matched-images", 2, 2)):
        drawn = draw_pairs(PairsArm(name), rows, labels, seed).rows
        assert torch.bincount(labels[drawn[:, 0]]).tolist() == [count * per_class] * CLASSES
        assert len(drawn.unique()) == images * len(rows)


def test_pairs_of_each_class_are_drawn_uniformly() -> None:
    labels = torch.tensor([7, 3, 7, 3, 7, 7])
    found = Counter(
        tuple(sorted(pairs_of_each_class(labels, 1, generator_for(seed))[1].tolist())) for seed in range(600)
    )
    assert len(found) == 6 and all(abs(times - 100) < 50 for times in found.values())
    with pytest.raises(MinerError, match=r"Class 3 has 2 images .*--pairs-per-class 2 takes 4"):
        pairs_of_each_class(labels, 2, generator_for(0))
    with pytest.raises(MinerError, match=r"1 of the 2 images have no label.*leave out --pairs-per-class"):
        pairs_of_each_class(torch.tensor([0, -1]), 1, generator_for(0))


@settings(max_examples=100, deadline=None)
@given(mined=mined_pairs(), seed=st.integers(0, 99))
def test_shuffled_partners_keep_the_degree_of_each_image(mined: Tensor, seed: int) -> None:
    rows = shuffled_partners(mined, generator_for(seed))
    assert torch.equal(degrees(rows), degrees(mined))
    assert (rows[:, 0] != rows[:, 1]).all()


def test_a_star_can_only_be_shuffled_into_itself() -> None:
    star = torch.stack([torch.zeros(20, dtype=torch.long), torch.arange(1, 21)], dim=1)
    assert sorted(shuffled_partners(star, generator_for(0)).sort(dim=1).values.tolist()) == star.tolist()


def test_shuffled_partners_are_other_partners() -> None:
    mined = torch.arange(2000).view(1000, 2)
    rows = shuffled_partners(mined, generator_for(0))
    kept = {frozenset(pair) for pair in rows.tolist()} & {frozenset(pair) for pair in mined.tolist()}
    # On average, one of 1000 pairs is drawn again: both sides must have been exchanged, not only the larger rows.
    assert len(kept) < 10 and 400 < int((rows[:, 0] % 2).sum()) < 600


@settings(max_examples=60, deadline=None)
@given(mined=mined_pairs(), seed=st.integers(0, 99), share=st.floats(0, 1))
def test_the_share_within_a_class_is_exact_to_one_pair(mined: Tensor, seed: int, share: float) -> None:
    labels = labels_of(seed)
    drawn = draw_pairs(PairsArm("precision", share), mined, labels, seed)
    agree = labels[drawn.rows[:, 0]] == labels[drawn.rows[:, 1]]
    assert abs(int(agree.sum()) - share * len(mined)) < 1
    assert drawn.facts(labels)["pair_label_precision"] == pytest.approx(agree.double().mean().item(), abs=1e-6)
    assert (drawn.rows[:, :1] == mined).any(dim=1).all()


def test_partners_within_the_mined_images_are_no_others() -> None:
    labels, among = labels_of(1), torch.tensor([3, 4, 8, 11, 17, 20, 25, 29])
    mined = among[draw_random_pairs(400, len(among), generator_for(0))]
    rows = draw_pairs(PairsArm.parse("within=0.5"), mined, labels, 3).rows
    anchors = draw_pairs(PairsArm.parse("precision=0.5"), mined, labels, 3).rows[:, 0]
    assert torch.equal(rows[:, 0], anchors) and set(rows[:, 1].tolist()) == {*among.tolist()}
    assert int((labels[rows[:, 0]] == labels[rows[:, 1]]).sum()) == 200 and (rows[:, 0] != rows[:, 1]).all()
    every = torch.arange(IMAGES).view(-1, 2)  # where all images are in pairs, both arms are one
    both = [draw_pairs(PairsArm.parse(f"{kind}=0.5"), every, labels, 3).rows for kind in ("within", "precision")]
    assert torch.equal(*both)


def test_a_series_of_shares_differs_in_pairs_that_leave_a_class() -> None:
    mined, labels = draw_random_pairs(500, IMAGES, generator_for(0)), labels_of(0)
    half, most, oracle = (draw_pairs(PairsArm("", share), mined, labels, 3).rows for share in (0.5, 0.9, 1.0))
    for fewer, more, differing in ((half, most, 200), (most, oracle, 50)):
        changed = (fewer != more).any(dim=1)
        assert int(changed.sum()) == differing
        assert (labels[fewer[changed]][:, 0] != labels[fewer[changed]][:, 1]).all()


def test_partners_by_label_and_random_pairs_are_uniform() -> None:
    """Each frequency within five standard deviations of its expectation."""
    count, labels = 30_000, torch.tensor([0, 1, 0, 1, 2, 0, 0])
    mined = torch.tensor([[0, 1]]).expand(count, 2)
    rows = draw_pairs(PairsArm("", 0.5), mined, labels, 0).rows
    for anchor, agreeing, others in ((0, (2, 5, 6), (1, 3, 4)), (1, (3,), (0, 2, 4, 5, 6))):
        found = Counter(rows[rows[:, 0] == anchor][:, 1].tolist())
        assert found.keys() == {*agreeing, *others}
        for images in (agreeing, others):
            expected = count / 4 / len(images)
            assert all(abs(found[image] - expected) < 5 * count**0.5 / 2 for image in images)
    wrong = Counter(map(tuple, draw_random_pairs(count, 4, generator_for(0)).tolist()))
    assert len(wrong) == 12 and all(abs(times - count / 12) < 5 * (count / 12) ** 0.5 for times in wrong.values())


def test_oversampled_anchors_are_those_of_mined_pairs_by_step() -> None:
    mined = draw_random_pairs(50, IMAGES, generator_for(1))
    semantic, control = (
        CombinedSampler(IMAGES, drawn.rows, 8, 0, drawn.anchors_only).epoch(2)
        for drawn in (draw_pairs(PairsArm(name), mined, labels_of(0), 0) for name in ("semantic", "anchor-oversample"))
    )
    assert torch.equal(control[:, 0], semantic[:, 0]) and torch.equal(control[:, 1], control[:, 0])
    assert not torch.equal(semantic[:, 1], semantic[:, 0])


def test_the_facts_count_images_and_pairs() -> None:
    labels = torch.tensor([0, 0, 1, 1, -1])
    mined = torch.tensor([[0, 1], [0, 2], [0, 4]])
    assert ArmPairs(mined).facts(labels) == {"pair_label_precision": 0.5, "pair_images": 4, "pair_max_degree": 3}
    assert ArmPairs(mined, anchors_only=True).facts(labels)["pair_label_precision"] is None
    themselves = ArmPairs(torch.tensor([[3, 3], [3, 3], [1, 1]]))
    assert themselves.facts(labels) == {"pair_label_precision": None, "pair_images": 2, "pair_max_degree": 2}
    nothing = draw_pairs(PairsArm("equal-steps"), mined, labels, 0)
    assert nothing.facts(labels) == {"pair_label_precision": None, "pair_images": 0, "pair_max_degree": 0}


def test_labels_that_do_not_serve_are_refused() -> None:
    mined = torch.tensor([[0, 1]])
    for labels, share, words in (
        ([0, 1, -1], 1.0, "1 of the 3 images have no label"),
        ([0, 1, 2], 1.0, "a single image"),
        ([0, 0, 0], 0.0, "All images are of one class"),
    ):
        with pytest.raises(MinerError, match=words):
            draw_pairs(PairsArm("", share), mined, torch.tensor(labels), 0)
    assert draw_pairs(PairsArm("", 1.0), mined, torch.tensor([0, 0, 0]), 0).rows.shape == (1, 2)
