import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from miner.export.plan import split_by_size


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 60))
def test_shards_cover_all_samples_in_order_and_are_full(sizes: list[int], largest: int) -> None:
    shards = split_by_size(np.asarray(sizes, np.int64), largest)
    assert [row for shard in shards for row in shard] == list(range(len(sizes)))
    totals = [sum(sizes[row] for row in shard) for shard in shards]
    assert all(total <= largest or len(shard) == 1 for total, shard in zip(totals, shards, strict=True))
    assert all(total + sizes[after[0]] > largest for total, after in zip(totals, shards[1:], strict=False))
