import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from miner.learning.randomness import generator_for
from miner.train.data.pair_index import PairIndex

IMAGES = 12
PAIRS = torch.tensor([[0, 5], [0, 7], [9, 0], [3, 4]])

pair_lists = st.lists(st.tuples(st.integers(0, IMAGES - 1), st.integers(0, IMAGES - 1)), max_size=40)


def partners_of(rows: list[tuple[int, int]], anchor: int) -> list[int]:
    return sorted([b for a, b in rows if a == anchor] + [a for a, b in rows if b == anchor])


@settings(max_examples=60, deadline=None)
@given(rows=pair_lists, most=st.integers(1, 5), seed=st.integers(0, 9))
def test_each_anchor_gets_as_many_of_its_partners_as_asked(rows: list[tuple[int, int]], most: int, seed: int) -> None:
    index = PairIndex.of(torch.tensor(rows, dtype=torch.long).view(-1, 2), IMAGES)
    anchors = torch.randperm(IMAGES, generator=generator_for(seed))[:8]
    partner_items, partners = index.draw_partners(anchors, most, generator_for(seed, "draw"))
    assert partner_items.tolist() == sorted(partner_items.tolist())
    for place, anchor in enumerate(anchors.tolist()):
        drawn, listed = partners[partner_items == place].tolist(), partners_of(rows, anchor)
        assert len(drawn) == min(most, len(listed))
        for partner in drawn:
            listed.remove(partner)


@settings(max_examples=60, deadline=None)
@given(rows=pair_lists)
def test_positives_are_the_image_itself_and_its_partners(rows: list[tuple[int, int]]) -> None:
    index = PairIndex.of(torch.tensor(rows, dtype=torch.long).view(-1, 2), IMAGES)
    anchors, others = torch.arange(IMAGES), torch.arange(IMAGES).flip(0)[:7]
    expected = [[a == b or b in partners_of(rows, a) for b in others.tolist()] for a in anchors.tolist()]
    assert index.positives(anchors, others).tolist() == expected


def test_all_partners_of_a_hub_are_alike_likely() -> None:
    index, drawn = PairIndex.of(PAIRS, IMAGES), torch.zeros(IMAGES)
    for step in range(600):
        _, partners = index.draw_partners(torch.tensor([2, 0]), 1, generator_for(0, step))
        drawn[partners] += 1
    assert drawn.nonzero().flatten().tolist() == [5, 7, 9] and drawn.sum() == 600
    assert drawn[[5, 7, 9]].sub(200).abs().max() < 60


def test_partners_of_a_hub_are_drawn_by_weight() -> None:
    weights = torch.tensor([1.0, 2.0, 5.0, 1.0], dtype=torch.float64)
    index, drawn = PairIndex.of(PAIRS, IMAGES, weights=weights), torch.zeros(IMAGES)
    for step in range(800):
        _, partners = index.draw_partners(torch.tensor([2, 0]), 1, generator_for(0, step))
        drawn[partners] += 1
    assert drawn.sum() == 800 and (drawn[[5, 7, 9]] / 100 - weights[:3]).abs().max() < 0.6
    assert index.draw_partners(torch.tensor([0]), 3, generator_for(0))[1].sort().values.tolist() == [5, 7, 9]


def test_an_index_of_anchors_knows_no_partner() -> None:
    index = PairIndex.of(PAIRS, IMAGES, anchors_only=True)
    anchors: Tensor = torch.tensor([0, 5, 1])
    assert torch.equal(index.positives(anchors, anchors), torch.eye(3, dtype=torch.bool))
    partner_items, partners = index.draw_partners(anchors, 2, generator_for(0))
    assert partner_items.tolist() == [0, 0, 1] and partners.tolist() == [0, 0, 5]
