import json
from collections import Counter

import pyarrow.parquet as pq
import pytest

from miner.artifacts.decisions import Decision
from miner.artifacts.runs.inputs import find_inputs
from miner.artifacts.runs.training_data import pair_rows
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.export.folders import samples


def line(pair: dict, decision: str, reviewer: str) -> str:
    return Decision(
        key_a=pair["key_b"],
        key_b=pair["key_a"],
        decision=decision,
        reviewer=reviewer,
        time="2025-03-01T12:00:00Z",
        similarity=pair["similarity"],
        slice=[0.3, 0.999],
    ).line()


def exported(workspace) -> list[tuple[str, str]]:
    records = [json.loads(sample["json"]) for sample in samples(workspace.shards, "pairs")]
    return sorted((record["key_a"], record["key_b"]) for record in records)


def test_rejected_pairs_are_left_out_and_a_tie_is_kept(workspace, tmp_path) -> None:
    mined = pq.read_table(workspace.pairs / "pairs.parquet").to_pylist()
    rejected, tied, undone = mined[3], mined[5], mined[7]
    decisions = tmp_path / "decisions.jsonl"
    decisions.write_text(
        line(rejected, "different", "ann")
        + line(tied, "different", "ann")
        + line(tied, "same", "bob")
        + line(undone, "different", "ann")
        + line(undone, "undo", "ann")
    )
    result = export(ExportOptions(exclude=decisions), workspace)
    expected = sorted((pair["key_a"], pair["key_b"]) for pair in mined if pair is not rejected)
    assert exported(workspace) == expected
    assert result.record["left_out"] == {"rejected": 1, "max_degree": 0}
    assert "1 rejected by reviewers" in result.lines[1]
    table = pq.read_table(workspace.shards / "pairs.parquet")
    assert table["pair_key"][3].as_py() == "pair-000000004"  # the key of a pair does not depend on what is left out


def test_other_rejected_pairs_are_another_request(workspace, tmp_path) -> None:
    pair = pq.read_table(workspace.pairs / "pairs.parquet").to_pylist()[0]
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text(line(pair, "different", "ann"))
    other.write_text(line(pair, "same", "ann") + line(pair, "different", "ann"))
    export(ExportOptions(exclude=one), workspace)
    assert not export(ExportOptions(exclude=other), workspace).fresh
    other.write_text(line(pair, "same", "ann"))
    with pytest.raises(MinerError, match="the decisions of reviewers are others"):
        export(ExportOptions(exclude=other), workspace)


def test_broken_decisions_stop_the_export_before_anything_goes(workspace, tmp_path) -> None:
    export(ExportOptions(), workspace)
    decisions = tmp_path / "decisions.jsonl"
    decisions.write_text("{}\n")
    with pytest.raises(MinerError, match="line 1 is no decision"):
        export(ExportOptions(exclude=decisions), workspace, force=True)
    assert (workspace.shards / "manifest.json").exists()


def test_max_degree_keeps_the_most_similar_pairs(workspace) -> None:
    mined = pq.read_table(workspace.pairs / "pairs.parquet").to_pylist()
    result = export(ExportOptions(max_degree=2), workspace)
    found = exported(workspace)
    degree = Counter(key for pair in found for key in pair)
    assert max(degree.values()) == 2
    assert result.record["left_out"]["max_degree"] == len(mined) - len(found) > 0
    best = max(mined, key=lambda pair: pair["similarity"])
    assert (best["key_a"], best["key_b"]) in found
    for pair in mined:
        kept = (pair["key_a"], pair["key_b"]) in found
        assert kept or 2 in (degree[pair["key_a"]], degree[pair["key_b"]])


def test_columns_of_a_rule_are_exported_and_trained_on(workspace) -> None:
    pairs(PairsOptions(rule="shared", neighbors=4, shared=1, max=0.999), workspace, force=True)
    export(ExportOptions(max_degree=2), workspace)
    mined = pq.read_table(workspace.pairs / "pairs.parquet").to_pylist()
    table = pq.read_table(workspace.shards / "pairs.parquet")
    assert table.column_names[-5:] == ["rank_a", "rank_b", "mean_a", "mean_b", "shared"]
    by_keys = {(pair["key_a"], pair["key_b"]): pair for pair in mined}
    for pair in table.to_pylist():
        known = by_keys[pair["key_a"], pair["key_b"]]
        assert {name: pair[name] for name in table.column_names[1:]} == {
            name: known[name] for name in table.column_names[1:]
        }
    inputs = find_inputs(workspace, with_pairs=True)
    keys = pq.read_table(workspace.shards / "images.parquet")["key"].to_pylist()
    rows = pair_rows(inputs, keys, per_image=1).flatten().tolist()
    assert len(rows) == len(set(rows)) > 4
