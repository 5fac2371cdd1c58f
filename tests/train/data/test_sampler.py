import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.train.data.sampler import CombinedSampler

PAIRS = torch.tensor([[0, 5], [1, 6], [2, 7], [0, 9]])


def items(sampler: CombinedSampler, epoch: int) -> list[tuple[int, int]]:
    return [tuple(item) for item in sampler.epoch(epoch).transpose(1, 2).reshape(-1, 2).tolist()]


def test_an_epoch_holds_every_own_view_item_and_every_pair_once() -> None:
    seen = items(CombinedSampler(10, PAIRS, 7, seed=0), 0)
    expected = [(i, i) for i in range(10)] + [tuple(pair) for pair in PAIRS.tolist()]
    assert sorted(tuple(sorted(item)) for item in seen) == sorted(expected)


def test_both_directions_of_a_pair_occur_over_epochs() -> None:
    sampler = CombinedSampler(10, PAIRS, 14, seed=0)
    directions = [(0, 5) in items(sampler, epoch) for epoch in range(200)]
    assert 70 < sum(directions) < 130


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    sampler = CombinedSampler(10, PAIRS, 7, seed=0)
    late = CombinedSampler(10, PAIRS, 7, seed=0).epoch(3)
    for epoch in range(4):
        last = sampler.epoch(epoch)
    assert torch.equal(last, late)
    assert not torch.equal(sampler.epoch(0), sampler.epoch(1))
    assert not torch.equal(sampler.epoch(0), CombinedSampler(10, PAIRS, 7, seed=1).epoch(0))


@settings(max_examples=50, deadline=None)
@given(images=st.integers(2, 40), pairs=st.integers(0, 30), batch=st.integers(2, 20), epoch=st.integers(0, 5))
def test_only_what_fills_no_batch_is_left_out(images: int, pairs: int, batch: int, epoch: int) -> None:
    chosen = torch.randint(0, images, (pairs, 2))
    sampler = CombinedSampler(images, chosen, batch, seed=3)
    rows = sampler.epoch(epoch)
    assert rows.shape == ((images + pairs) // batch, 2, batch)
    assert sampler.item_count - rows[:, 0].numel() < batch
    left = [tuple(sorted(pair)) for pair in chosen.tolist()] + [(i, i) for i in range(images)]
    for item in rows.transpose(1, 2).reshape(-1, 2).tolist():
        left.remove(tuple(sorted(item)))


def test_weighted_pairs_come_in_proportion_to_their_weight() -> None:
    weights = torch.tensor([0.5, 0.2, 1.3, 2.0], dtype=torch.float64)
    sampler, seen = CombinedSampler(10, PAIRS, 14, seed=0, weights=weights), torch.zeros(4)
    for epoch in range(200):
        found = sorted(tuple(sorted(item)) for item in items(sampler, epoch) if item[0] != item[1])
        times = torch.tensor([found.count(tuple(pair)) for pair in PAIRS.tolist()])
        assert len(found) == 4 and ((times - weights).abs() < 1).all()
        seen += times
    assert (seen / 200 - weights).abs().max() < 0.15
    assert items(CombinedSampler(10, PAIRS, 14, seed=0, weights=weights), 3) == items(sampler, 3)


def test_pairs_alone_leave_own_views_out() -> None:
    seen = items(CombinedSampler(0, PAIRS, 2, seed=0), 5)
    assert sorted(tuple(sorted(item)) for item in seen) == sorted(map(tuple, PAIRS.tolist()))


def test_without_pairs_only_own_views_remain() -> None:
    sampler = CombinedSampler(10, torch.zeros(0, 2, dtype=torch.long), 5, seed=0)
    anchors, positives = sampler.epoch(0).transpose(0, 1).reshape(2, -1)
    assert torch.equal(anchors, positives) and sorted(anchors.tolist()) == list(range(10))
