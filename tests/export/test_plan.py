import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from miner.export.plan import plan_shards, split_by_size


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 60), st.none() | st.integers(1, 9))
def test_shards_cover_all_samples_in_order_and_are_full(sizes: list[int], largest: int, most: int | None) -> None:
    shards = split_by_size(np.asarray(sizes, np.int64), largest, most)
    assert [row for shard in shards for row in shard] == list(range(len(sizes)))
    totals = [sum(sizes[row] for row in shard) for shard in shards]
    limit = most or len(sizes)
    assert all(len(shard) <= limit for shard in shards)
    assert all(total <= largest or len(shard) == 1 for total, shard in zip(totals, shards, strict=True))
    for total, shard, after in zip(totals, shards, shards[1:], strict=False):
        assert total + sizes[after[0]] > largest or len(shard) == limit


@given(st.lists(st.sampled_from([("jpg",), ("png",), ("webp",)]), min_size=1, max_size=40), st.integers(1, 5))
def test_no_set_mixes_endings_and_every_sample_is_in_one_shard(endings: list[tuple[str, ...]], most: int) -> None:
    rows = np.random.default_rng(0).permutation(len(endings))
    shards = plan_shards("images", endings, rows, np.full(len(endings), 1536), 10**9, most)
    ending_of = dict(zip(rows.tolist(), endings, strict=True))
    assert sorted(row for shard in shards for row in shard.rows.tolist()) == list(range(len(endings)))
    assert len({shard.name for shard in shards}) == len(shards)
    for shard in shards:
        assert {(*ending_of[row], "json") for row in shard.rows.tolist()} == {shard.fields}
    if len(set(endings)) == 1:
        assert shards[0].name == "images-000000.tar"
