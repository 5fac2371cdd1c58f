"""Groups against scipy's complete linkage and connected components."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from miner.pairs.tables import groups as module
from miner.pairs.tables.groups import cluster_purity, find_groups, group_statistics


def pairs_above(similarity: np.ndarray, low: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b = np.triu_indices(len(similarity), 1)
    keep = similarity[a, b] >= low
    return a[keep], b[keep], similarity[a, b][keep]


def partition(rows, numbers) -> set[frozenset[int]]:
    members: dict[int, set[int]] = {}
    for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
        members.setdefault(number, set()).add(row)
    return {frozenset(each) for each in members.values()}


def similarities(count: int, kind: str, seed: int) -> np.ndarray:
    """Symmetric, all different off the diagonal."""
    rng = np.random.default_rng(seed)
    if kind == "cosines":
        vectors = rng.normal(size=(count, 4)) + 2 * rng.normal(size=(3, 4))[rng.integers(0, 3, count)]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors @ vectors.T
    matrix = np.zeros((count, count))
    a, b = np.triu_indices(count, 1)
    matrix[a, b] = matrix[b, a] = rng.permutation(len(a)) / len(a) * 2 - 1
    if kind == "chain":  # neighbours on a line, ever closer: the longest chain of nearest neighbours
        matrix[a, b] = matrix[b, a] = np.where(b == a + 1, 0.5 + a / (4 * count), matrix[a, b] / 4)
    return matrix


@settings(max_examples=400, deadline=None)
@given(
    count=st.integers(2, 40),
    kind=st.sampled_from(["cosines", "any", "chain"]),
    # Never a similarity that occurs: scipy compares distances, which are rounded once more.
    low=st.sampled_from([-1.0001, -0.5001, 0.0001, 0.2001, 0.5001, 0.7001, 0.9001]),
    seed=st.integers(0, 2**16),
)
def test_groups_equal_scipy(count, kind, low, seed) -> None:
    similarity = similarities(count, kind, seed)
    assume(np.abs(similarity - low).min() > 1e-9)  # scipy cuts at a distance, 1 - low, which is rounded
    a, b, values = pairs_above(similarity, low)
    if not len(a):
        assert len(find_groups(a, b, values).rows) == 0
        return
    groups = find_groups(a, b, values)
    distance = 1 - similarity
    np.fill_diagonal(distance, 0)
    complete = fcluster(linkage(squareform(distance, checks=False), "complete"), 1 - low, "distance")
    assert partition(groups.rows, groups.group) == partition(groups.rows, complete[groups.rows])
    single = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(count, count)), directed=False)[1]
    assert partition(groups.rows, groups.component) == partition(groups.rows, single[groups.rows])
    assert groups.rows.tolist() == sorted(set(a.tolist()) | set(b.tolist()))


@settings(max_examples=60, deadline=None)
@given(count=st.integers(2, 30), seed=st.integers(0, 999), steps=st.integers(1, 4))
def test_groups_hold_all_their_pairs_and_cannot_join(count, seed, steps) -> None:
    """With many equal similarities the groups are not unique, but these hold for any of them."""
    rng = np.random.default_rng(seed)
    similarity = rng.integers(0, steps + 1, (count, count)) / steps
    similarity = np.triu(similarity, 1) + np.triu(similarity, 1).T
    a, b, values = pairs_above(similarity, 0.3)
    groups = find_groups(a, b, values)
    places = dict(zip(groups.rows.tolist(), range(len(groups.rows)), strict=True))
    members = [sorted(each) for each in partition(groups.rows, groups.group)]
    for each in members:
        inside = [similarity[x, y] for x in each for y in each if x < y]
        found = groups.lowest[[places[row] for row in each]]
        assert np.isnan(found).all() if len(each) == 1 else (found == min(inside)).all() and min(inside) >= 0.3
    for x in members:
        for y in members:
            assert x == y or similarity[np.ix_(x, y)].min() < 0.3
    assert all(len(set(groups.component[[places[row] for row in each]])) == 1 for each in members)


def test_order_of_the_pairs_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    a, b, values = pairs_above(np.round(similarities(60, "cosines", 3), 2), 0.5)
    order = rng.permutation(len(a))
    assert find_groups(a, b, values).table([str(row) for row in range(60)], None) == find_groups(
        a[order], b[order], values[order]
    ).table([str(row) for row in range(60)], None)


def test_chains_are_one_component_and_many_groups() -> None:
    rows = np.arange(9)
    groups = find_groups(rows[:-1], rows[1:], np.full(8, 0.97))
    assert set(groups.component) == {0}
    assert groups.sizes().max() == 2 and set(groups.group.tolist()) == set(range(len(set(groups.group))))
    assert groups.table([f"k{row}" for row in rows], None).column_names == [
        "row",
        "key",
        "label",
        "component",
        "group",
        "size",
        "lowest",
    ]


def test_many_copies_join_in_few_rounds(monkeypatch) -> None:
    rounds = []
    contracted = module._contracted
    monkeypatch.setattr(module, "_contracted", lambda *state: (rounds.append(1), contracted(*state))[1])
    a, b = np.triu_indices(500, 1)
    groups = find_groups(a, b, np.ones(len(a)))
    assert set(groups.group) == {0} and set(groups.lowest) == {1.0}
    assert len(rounds) <= 10


def test_statistics_by_hand() -> None:
    # Rows 1, 2, 3 are all alike; 3 and 5 are a pair besides, and so are 8 and 9.
    a, b = np.array([1, 1, 2, 3, 8]), np.array([2, 3, 3, 5, 9])
    groups = find_groups(a, b, np.array([0.99, 0.97, 0.98, 0.9, 0.95]))
    labels = np.array([0, 0, 0, 1, 0, 1, 0, 0, 2, -1])
    record = group_statistics(groups, len(a), labels)
    assert record["pairs"] == 5
    components, complete = record["components"], record["complete_link"]
    assert (components["number"], components["images"], components["largest"]) == (2, 6, 4)
    assert components["sizes"] == {"images": [2, 4], "groups": [1, 1]}
    assert components["purity"] == pytest.approx(3 / 5)
    assert (complete["number"], complete["images"], complete["largest"], complete["lowest"]) == (2, 5, 3, 0.95)
    assert complete["purity"] == pytest.approx(3 / 4)
    assert cluster_purity(np.zeros(2, np.int64), np.array([-1, -1])) is None


def test_nothing_found_gives_an_empty_table() -> None:
    none = np.empty(0, np.int64)
    groups = find_groups(none, none, np.empty(0))
    assert len(groups.table([], None)) == 0
    assert group_statistics(groups, 0, None)["complete_link"]["number"] == 0
