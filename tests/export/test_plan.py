import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.artifacts.embeddings.images import EmbeddedImage
from miner.export.plan import plan_shards, split_by_size
from miner.export.write import image_record, json_member


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


@given(
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    st.none() | st.integers(-1, 10**9),
    st.integers(1, 10**6),
    st.integers(1, 10**6),
)
def test_the_record_of_an_image_is_plain_sorted_json(key: str, label: int | None, width: int, height: int) -> None:
    image = EmbeddedImage(key, "p", label, width, height, "jpg", 1, "ab" * 32)
    record = {"key": key, "label": label, "width": width, "height": height, "sha256": "ab" * 32}
    assert image_record(image, label) == json_member(record)
    assert json.loads(image_record(image, label)) == record


def test_records_that_would_not_be_json_or_not_fit_are_refused() -> None:
    image = EmbeddedImage('a"b', "p", None, 1, 1, "jpg", 1, "ab" * 32)
    with pytest.raises(ValueError, match="is no key"):
        image_record(image, None)
    with pytest.raises(ValueError, match="more than 512"):
        json_member({"key": "x" * 600})
