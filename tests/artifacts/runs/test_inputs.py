from pathlib import Path

import pytest

from miner.artifacts.runs.inputs import check_shards_are_current, find_inputs, named_source
from miner.artifacts.runs.training_data import open_images
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from tests.artifacts.manifests import pairs_record, shards_record
from tests.train.mini_workspace import (
    finish_folder,
    same_class_pairs,
    sample_entries,
    write_embedded,
    write_pairs,
    write_shards,
)


def test_an_empty_workspace_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(MinerError, match=r"miner embed SOURCE.*--gallery SOURCE"):
        find_inputs(Workspace(tmp_path), with_pairs=True)


def test_embeddings_without_pairs_serve_the_control_only(tmp_path: Path) -> None:
    workspace = write_embedded(tmp_path, "sample")
    (workspace.pairs / "manifest.json").unlink()
    with pytest.raises(MinerError, match="miner pairs"):
        find_inputs(workspace, with_pairs=True)
    assert find_inputs(workspace, with_pairs=False).pairs is None


def test_the_control_does_not_change_with_the_pairs(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, images=60, pairs=30)
    before = [find_inputs(workspace, with_pairs=arm).fingerprint for arm in (False, True)]
    write_pairs(workspace.shards / "pairs.parquet", same_class_pairs(sample_entries(60)[1], 5), labelled=True)
    finish_folder(workspace.shards, **shards_record(60, 5))
    after = [find_inputs(workspace, with_pairs=arm).fingerprint for arm in (False, True)]
    assert before[0] == after[0] and before[1] != after[1]


def test_shards_of_older_pairs_are_refused(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, images=60, pairs=30)
    pairs = same_class_pairs(sample_entries(60)[1], 30)
    workspace.pairs.mkdir()
    write_pairs(workspace.pairs / "pairs.parquet", pairs[::-1], labelled=True)
    finish_folder(workspace.pairs, **pairs_record(30))
    check_shards_are_current(find_inputs(workspace, with_pairs=True), workspace)
    write_pairs(workspace.pairs / "pairs.parquet", pairs[:-1], labelled=True)
    with pytest.raises(MinerError, match="miner export --force"):
        check_shards_are_current(find_inputs(workspace, with_pairs=True), workspace)
    check_shards_are_current(find_inputs(workspace, with_pairs=False), workspace)


def test_a_named_source_needs_no_workspace(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    source, entries = sample_entries(6)
    for entry in entries:
        (folder / f"{entry.key}.png").write_bytes(source.read(entry))
    inputs = named_source(str(folder))
    opened, found = open_images(inputs)
    assert (inputs.origin, inputs.spec, inputs.pairs) == ("source", str(folder.resolve()), None)
    assert sorted(opened.read(entry) for entry in found) == sorted(source.read(entry) for entry in entries)
    next(folder.iterdir()).unlink()
    assert named_source(str(folder)).fingerprint != inputs.fingerprint
