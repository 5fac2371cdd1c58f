import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.review.estimation.judgements import judgements
from miner.review.estimation.summary import summarise_judgements, summary_lines
from miner.review.pair_set import read_pair_set
from tests.review.decisions import decision
from tests.review.running import IMAGES


def test_pairs_are_found_by_their_keys_in_either_order(workspace) -> None:
    found = read_pair_set(workspace, 10)
    rows = pq.read_table(workspace.pairs / "pairs.parquet").to_pylist()
    assert len(found) == len(rows) > 100
    wanted = [(rows[number]["key_a"], rows[number]["key_b"]) for number in (0, 7, len(rows) - 1)]
    assert [found.keys(place) for place in (0, 7, len(rows) - 1)] == wanted
    swapped = [(b, a) for a, b in wanted]
    assert found.find([*wanted, *swapped]) == 2 * [0, 7, len(rows) - 1]
    first = rows[0]["key_a"]
    assert found.find([(first, first), (first, "gone"), ("gone", "too")]) == [None] * 3
    assert found.find([]) == []


def test_slices_hold_all_pairs_of_their_range(workspace) -> None:
    found = read_pair_set(workspace, 7)
    assert sum(found.sizes()) == len(found)
    for place in range(0, len(found), 50):
        low, high = found.slice(place)
        assert low - 1e-6 <= found.similarity[place] <= high + 1e-6


def test_pairs_in_both_orders_are_reviewed_once(workspace) -> None:
    once = read_pair_set(workspace, 10)
    pairs(PairsOptions(min=0.55, max=0.97, both_orders=True), workspace, force=True)
    assert pq.read_metadata(workspace.pairs / "pairs.parquet").num_rows == 2 * len(once)
    both = read_pair_set(workspace, 10)
    assert both.a.tolist() == once.a.tolist() and both.b.tolist() == once.b.tolist()
    assert both.sizes() == once.sizes()


def test_no_pairs_damage_and_foreign_embeddings_are_refused(workspace) -> None:
    path = workspace.pairs / "pairs.parquet"
    table = pq.read_table(path)
    for broken in (table.take(pa.array([1, 0])), table.slice(0, 0), table.drop_columns(["similarity"])):
        pq.write_table(broken, path)
        with pytest.raises(MinerError, match=r"pairs\.parquet"):
            read_pair_set(workspace, 10)
    manifest = workspace.pairs / "manifest.json"
    manifest.write_text(manifest.read_text().replace(PairsManifest.read(workspace).request.embeddings, "other"))
    with pytest.raises(MinerError, match="other embeddings"):
        read_pair_set(workspace, 10)


def test_slices_are_of_the_score_of_the_rule(workspace) -> None:
    pairs(PairsOptions(rule="shared", shared=3, max=0.97), workspace, force=True)
    found = read_pair_set(workspace, 4)
    shared = pq.read_table(workspace.pairs / "pairs.parquet")["shared"].to_pylist()
    assert found.sliced_by == "shared"
    assert found.edges.tolist() == np.linspace(min(shared), max(shared), 5).tolist()
    for place in range(len(found)):
        low, high = found.slice(place)
        assert low <= shared[place] < high or (shared[place] == high == max(shared))
    pair = found.keys(0)
    one = decision().model_copy(update={"key_a": pair[0], "key_b": pair[1]})
    judged, _ = judgements(found, [one])
    record = summarise_judgements(found, judged)
    assert record["sliced_by"] == "shared" and record["method"].startswith("stratified by shared: ")
    assert any(line.startswith("  shared  ") for line in summary_lines(record))


def test_slices_are_of_the_votes_where_they_differ(workspace, tmp_path) -> None:
    other = Workspace(tmp_path / "other")
    embed(EmbedOptions(source="sample", limit=IMAGES, pool="max"), other)
    for at_least, sliced_by in ((1, "votes"), (2, "similarity")):
        pairs(PairsOptions(min=0.7, max=0.97, agree=[str(other.root)], at_least=at_least), workspace, force=True)
        assert read_pair_set(workspace, 4).sliced_by == sliced_by
