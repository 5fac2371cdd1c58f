from pathlib import Path

import pytest
import torch

from miner.artifacts.runs.inputs import find_inputs
from miner.artifacts.runs.training_data import open_images, pair_rows
from miner.errors import MinerError
from tests.source.tars import png, tar_bytes
from tests.train.mini_workspace import (
    same_class_pairs,
    sample_entries,
    write_embedded,
    write_pairs,
    write_shards,
)


def test_shards_and_source_hold_the_same_images_and_pairs(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "a", images=60, pairs=30)
    source = write_embedded(tmp_path / "b", str(shards.shards / "images-000000.tar"), pairs=30)
    found = []
    for workspace in (shards, source):
        inputs = find_inputs(workspace, with_pairs=True)
        opened, entries = open_images(inputs)
        pairs = pair_rows(inputs, [entry.key for entry in entries], None)
        found.append(([(e.key, e.label, opened.read(e)) for e in entries], pairs.tolist()))
    assert [find_inputs(workspace, True).origin for workspace in (shards, source)] == ["shards", "source"]
    assert found[0] == found[1]
    assert len(found[0][1]) == 30


@pytest.mark.parametrize("name", ["images-holiday.tar", "images-000001.tar"])
@pytest.mark.parametrize("theirs", [b"broken", tar_bytes([("k.png", png())])])
def test_shards_that_the_export_did_not_write_are_not_read(tmp_path: Path, name: str, theirs: bytes) -> None:
    workspace = write_shards(tmp_path, images=60, pairs=30)
    (workspace.shards / name).write_bytes(theirs)
    assert [entry.key for entry in open_images(find_inputs(workspace, with_pairs=False))[0].entries] == [
        entry.key for entry in sample_entries(60)[1]
    ]


def test_pairs_point_at_the_rows_of_their_keys(tmp_path: Path) -> None:
    inputs = find_inputs(write_shards(tmp_path, images=60, pairs=30), with_pairs=True)
    _, entries = open_images(inputs)
    expected = {(a.key, b.key) for a, b in same_class_pairs(sample_entries(60)[1], 30)}
    rows = pair_rows(inputs, [entry.key for entry in entries])
    assert {(entries[a].key, entries[b].key) for a, b in rows.tolist()} == expected


def test_unusable_images_are_left_out(tmp_path: Path) -> None:
    inputs = find_inputs(write_embedded(tmp_path, "sample", skip=7), with_pairs=True)
    _, entries = open_images(inputs)
    _, all_entries = sample_entries(3000)
    assert [entry.key for entry in entries] == [entry.key for entry in all_entries[7:]]


def test_limit_keeps_the_pairs_among_the_first_images(tmp_path: Path) -> None:
    inputs = find_inputs(write_shards(tmp_path, images=60, pairs=30), with_pairs=True)
    keys = [entry.key for entry in open_images(inputs)[1]]
    everything, limited = pair_rows(inputs, keys), pair_rows(inputs, keys, 40)
    expected = [row for row in everything.tolist() if max(row) < 40]
    assert 0 < len(expected) < 30 and limited.tolist() == expected


def test_cap_keeps_the_most_similar_pairs_of_an_image(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, images=60, pairs=10)
    _, entries = sample_entries(60)
    ends = [(0, 1), (0, 2), (0, 3), (2, 3), (0, 50)]
    similarity = [0.90, 0.95, 0.94, 0.80, 0.99]
    chosen = [(entries[a], entries[b]) for a, b in ends]
    write_pairs(workspace.shards / "pairs.parquet", chosen, labelled=True, similarity=similarity)
    inputs = find_inputs(workspace, with_pairs=True)
    keys = [entry.key for entry in entries]
    assert pair_rows(inputs, keys, 40, 1).tolist() == [[0, 2]]
    assert pair_rows(inputs, keys, 40, 2).tolist() == [[0, 2], [0, 3], [2, 3]]
    assert pair_rows(inputs, keys, None, 2).tolist() == [[0, 2], [2, 3], [0, 50]]


def test_no_pairs_are_an_error_with_a_proposal(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, images=60, pairs=10)
    write_pairs(workspace.shards / "pairs.parquet", [], labelled=True)
    inputs = find_inputs(workspace, with_pairs=True)
    keys = [entry.key for entry in open_images(inputs)[1]]
    with pytest.raises(MinerError, match=r"miner pairs --rule mutual --force.*--pairs-arm none"):
        pair_rows(inputs, keys, None)
    control = find_inputs(workspace, with_pairs=False)
    assert torch.equal(pair_rows(control, keys, None), torch.zeros(0, 2, dtype=torch.long))


def test_a_pair_of_an_unknown_image_is_an_error(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, images=40, pairs=10)
    _, entries = sample_entries(41)
    write_pairs(workspace.shards / "pairs.parquet", [(entries[0], entries[40])], labelled=True)
    inputs = find_inputs(workspace, with_pairs=True)
    with pytest.raises(MinerError, match=entries[40].key):
        pair_rows(inputs, [entry.key for entry in entries[:40]], None)


def test_a_damaged_table_is_an_error(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, images=40, pairs=10)
    table = workspace.shards / "pairs.parquet"
    table.write_bytes(table.read_bytes()[:200])
    with pytest.raises(MinerError, match="missing or damaged"):
        pair_rows(find_inputs(workspace, with_pairs=True), [], None)


def test_images_that_left_the_source_are_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    source, entries = sample_entries(20)
    for entry in entries:
        target = folder / str(entry.label) / f"{entry.key}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read(entry))
    workspace = write_embedded(tmp_path / "w", str(folder), pairs=3)
    next(folder.rglob("*.png")).unlink()
    with pytest.raises(MinerError, match="1 of the 20 embedded images"):
        open_images(find_inputs(workspace, with_pairs=True))
