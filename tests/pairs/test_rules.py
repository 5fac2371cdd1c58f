"""Rules on neighbour lists against their definition on all cosines in float64, on vectors full of ties."""

from itertools import combinations

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.artifacts.pairs.rule import Rule
from miner.errors import MinerError
from miner.pairs.options import PairsOptions
from miner.pairs.rules import rule_pairs
from miner.pairs.run import pairs
from tests.pairs.mined import contents, row_pairs
from tests.pairs.vectors import brute_force, clustered, fan, vectors_with_ties

Lists = list[list[int]]


def whole_lists(cosines: np.ndarray, high: float, copies: np.ndarray) -> Lists:
    """All others of each row that count as neighbours, by a stable sort."""
    apart = (cosines <= high) & (copies[:, None] != copies)
    return [[int(y) for y in np.argsort(-row, kind="stable") if apart[x, y]] for x, row in enumerate(cosines)]


def cut(lists: Lists, cosines: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Lists of k as arrays; what is no neighbour is -1 and NaN."""
    ids = np.array([(some[:k] + [-1] * k)[:k] for some in lists])
    return ids, np.where(ids < 0, np.nan, np.take_along_axis(cosines, np.maximum(ids, 0), axis=1))


def by_definition(rule: Rule, cosines: np.ndarray, lists: Lists) -> dict[tuple[int, int], tuple]:
    """Ranks and the score of each pair of the rule; of `local`, from the scores of all pairs."""
    k, found = rule.neighbors, {}
    # The last bits of a sum depend on the number of its terms, zeros included.
    sums = [np.pad(cosines[x, some[:k]], (0, k - len(some[:k]))).sum() for x, some in enumerate(lists)]
    means = [total / len(some[:k]) if some else np.nan for total, some in zip(sums, lists, strict=True)]
    for a, b in combinations(range(len(lists)), 2):
        if b not in lists[a]:
            continue
        ranks = tuple(place if place <= k else 0 for place in (lists[b].index(a) + 1, lists[a].index(b) + 1))
        common = len({*lists[a][: 2 * k]} & {*lists[b][: 2 * k]})
        score = 2 * cosines[a, b] - means[a] - means[b]
        chosen = {
            "knn": any(ranks),
            "mutual": all(ranks),
            "shared": all(ranks) and common >= rule.shared,
            # A tie of a pair with everything in both lists is decided by the numbers of the rows.
            "local": score >= rule.local and (rule.local > 0 or any(ranks)),
        }
        if chosen[rule.name]:
            found[a, b] = (*ranks, {"local": np.float32(score), "shared": common}.get(rule.name))
    return found


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(["random", "copies", "all equal", "grid", "last bits"]),
    count=st.integers(2, 30),
    dim=st.sampled_from([2, 3, 17]),
    seed=st.integers(0, 2**16),
    rule=st.builds(
        Rule,
        st.sampled_from(["knn", "mutual", "local", "shared"]),
        st.integers(1, 9),
        st.sampled_from([0.0, 1e-6, 0.01, 0.2]),
        st.integers(1, 5),
    ),
    high=st.sampled_from([2.0, 1.0, 0.9, 0.3]),
    copied=st.booleans(),
)
def test_rules_choose_what_their_definition_says(kind, count, dim, seed, rule, high, copied) -> None:
    cosines = brute_force(vectors_with_ties(kind, count, dim, "float32", seed))
    np.fill_diagonal(cosines, np.inf)
    lists = whole_lists(
        cosines, high, np.random.default_rng(seed).integers(0, count, count) if copied else np.arange(count)
    )
    found = rule_pairs(rule, *cut(lists, cosines, rule.listed), limit=10**6)
    scores = found.evidence[rule.name] if rule.name in ("local", "shared") else [None] * len(found)
    columns = (found.evidence["rank_a"], found.evidence["rank_b"], scores)
    mine = {(a, b): tuple(row) for a, b, *row in zip(found.a, found.b, *columns, strict=True)}
    assert mine == by_definition(rule, cosines, lists)
    assert list(mine) == sorted(mine)


@pytest.mark.parametrize("rule", ["knn", "mutual", "local", "shared"])
def test_blocks_of_rows_change_nothing(monkeypatch, rule) -> None:
    cosines = brute_force(clustered(150, 8))
    np.fill_diagonal(cosines, np.inf)
    lists = cut(whole_lists(cosines, 2.0, np.arange(150)), cosines, 10)
    whole = rule_pairs(Rule(rule, 5, shared=2), *lists, limit=10**6)
    monkeypatch.setattr("miner.pairs.rules._ENTRIES", 700)
    parts = rule_pairs(Rule(rule, 5, shared=2), *lists, limit=10**6)
    assert len(whole) > 50
    for name in ("a", "b", "similarity"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert {name: values.tolist() for name, values in whole.evidence.items()} == {
        name: values.tolist() for name, values in parts.evidence.items()
    }


def test_duplicates_are_left_out_before_neighbours_count(make_embeddings) -> None:
    # 0, 1 and 2 are nearly equal, and so are 4 and 5, which are one file: the nearest other of 0 to 2 is 3.
    workspace = make_embeddings(fan(0, 1, 2, 20, 60, 66), hashes=["a", "b", "c", "d", "e", "e"])
    made = pairs(PairsOptions(rule="knn", neighbors=1, max=0.999), workspace)
    assert row_pairs(workspace) == [(0, 3), (1, 3), (2, 3), (3, 4), (3, 5)]
    assert row_pairs(workspace, "duplicates") == [(0, 1), (0, 2), (1, 2), (4, 5)]
    assert made.record["duplicates"] == 4
    assert made.lines[1] == "pairs: rule knn: one is among the 1 nearest of the other; cosine of at most 0.999"


def test_table_says_why_in_both_orders(make_embeddings) -> None:
    vectors = clustered(80, 6)
    options = PairsOptions(rule="shared", neighbors=4, shared=2, max=0.999)
    one, both = make_embeddings(vectors, name="one"), make_embeddings(vectors, name="both")
    pairs(options, one)
    pairs(options.model_copy(update={"both_orders": True}), both)
    rows = pq.read_table(one.pairs / "pairs.parquet").to_pylist()
    twice = pq.read_table(both.pairs / "pairs.parquet").to_pylist()
    assert len(rows) > 20 and {row["rank_a"] for row in rows} == {1, 2, 3, 4}
    assert [row for row in twice if row["a"] < row["b"]] == rows
    turned = {
        (row["b"], row["a"]): (row["rank_b"], row["rank_a"], row["shared"]) for row in twice if row["a"] > row["b"]
    }
    assert turned == {(row["a"], row["b"]): (row["rank_a"], row["rank_b"], row["shared"]) for row in rows}


def test_filters_apply_to_what_a_rule_chose(make_embeddings) -> None:
    vectors = clustered(80, 6)
    whole, some = make_embeddings(vectors, name="whole"), make_embeddings(vectors, name="some")
    pairs(PairsOptions(rule="mutual", neighbors=6, max=0.99), whole)
    pairs(PairsOptions(rule="mutual", neighbors=6, max=0.99, min=0.8, top_k=3, most_similar=20), some)
    rows = [row for row in pq.read_table(whole.pairs / "pairs.parquet").to_pylist() if row["similarity"] >= 0.8]
    degree, kept = dict.fromkeys(range(80), 0), []
    for row in sorted(rows, key=lambda row: -row["similarity"]):
        if max(degree[row["a"]], degree[row["b"]]) < 3:
            degree[row["a"]] += 1
            degree[row["b"]] += 1
            kept.append((row["a"], row["b"]))
    assert row_pairs(some) == sorted(kept[:20]) != sorted(kept)


@pytest.mark.parametrize("strip_rows", [7, 64])
def test_strips_change_no_byte_of_a_rule(make_embeddings, strip_rows) -> None:
    vectors = clustered(90, 6)
    whole, strips = make_embeddings(vectors, name="whole"), make_embeddings(vectors, name="strips")
    options = PairsOptions(rule="local", neighbors=3, max=0.99)
    pairs(options, whole)
    pairs(options, strips, strip_rows=strip_rows)
    assert contents(whole) == contents(strips)


def test_request_says_the_rule_and_a_band_has_no_new_key(make_embeddings) -> None:
    workspace = make_embeddings(fan(0, 10, 20, 30))
    asked = pairs(PairsOptions(rule="shared", neighbors=2, shared=1, max=0.999), workspace).record["request"]
    assert (asked["rule"], asked["neighbors"], asked["shared"]) == ("shared", 2, 1)
    assert asked["band"] == {"min": -1.0, "max": 0.999} and "local" not in asked
    band = pairs(PairsOptions(min=0.9, max=0.99), workspace, force=True).record["request"]
    assert set(band) == {"band", "embeddings", "mutual", "neighbors", "sample", "seed", "top_k"}


def test_too_many_pairs_of_a_rule_are_refused(make_embeddings) -> None:
    workspace = make_embeddings(clustered(60, 6))
    with pytest.raises(MinerError, match="chooses more than 10 pairs"):
        pairs(PairsOptions(rule="knn", max=1.0, max_pairs=10), workspace)
    assert pairs(
        PairsOptions(rule="mutual", max=1.0), workspace
    ).fresh  # nothing is left that --force would have to replace


def test_more_duplicates_than_the_limit_are_refused(make_embeddings) -> None:
    workspace = make_embeddings(fan(*range(20)))
    with pytest.raises(MinerError, match=r"More than 10 pairs .* duplicates"):
        pairs(PairsOptions(rule="knn", max=0.9, max_pairs=10), workspace)
