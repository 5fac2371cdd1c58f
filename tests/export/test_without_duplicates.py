"""`miner export --without-duplicates`: one image of each group of near-identical images, and no pair of the others."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from miner.artifacts.runs.inputs import find_inputs
from miner.artifacts.runs.training_data import open_images, pair_rows
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.verify.run import verify
from tests.export.folders import mine, samples


@pytest.fixture
def copied(make_photos, tmp_path) -> Workspace:
    """Twelve photographs, of which three are there twice."""
    folder = make_photos(count=12, classes=2)
    for path in sorted(folder.rglob("*.jpg"))[:3]:
        shutil.copy(path, path.with_name(f"z{path.name}"))
    return mine(folder, tmp_path / "w")


@pytest.mark.parametrize("pairs_only", [False, True])
def test_dropped_images_and_their_pairs_are_left_out(copied, pairs_only) -> None:
    dropped = set(pq.read_table(copied.pairs / "duplicate_images.parquet")["key"].to_pylist())
    mined = pq.read_table(copied.pairs / "pairs.parquet").to_pylist()
    result = export(ExportOptions(without_duplicates=True, pairs_only=pairs_only), copied)
    assert len(dropped) == 3 and result.record["duplicate_images"] == 3
    kept = [(pair["key_a"], pair["key_b"]) for pair in mined if not dropped & {pair["key_a"], pair["key_b"]}]
    records = [json.loads(sample["json"]) for sample in samples(copied.shards, "pairs")]
    assert sorted((record["key_a"], record["key_b"]) for record in records) == sorted(kept)
    assert 0 < len(kept) < len(mined) and result.record["left_out"]["duplicates"] == len(mined) - len(kept)
    images = pq.read_table(copied.shards / "images.parquet")["key"].to_pylist()
    assert len(images) == result.record["images"] == 12 and not dropped & set(images)
    if not pairs_only:
        assert [json.loads(sample["json"])["key"] for sample in samples(copied.shards, "images")] == images
    assert "export: 3 duplicate images left out" in result.lines
    if not pairs_only:
        inputs = find_inputs(copied, with_pairs=True)
        _, entries = open_images(inputs)
        assert {entry.key for entry in entries} == set(images)
        assert len(pair_rows(inputs, images)) == len(kept)
    verify(str(copied.shards))


def test_another_list_is_another_request(copied) -> None:
    export(ExportOptions(), copied)
    with pytest.raises(MinerError, match="--without-duplicates was not given and is now given"):
        export(ExportOptions(without_duplicates=True), copied)


def test_pairs_without_the_list_are_refused(copied) -> None:
    (copied.pairs / "duplicate_images.parquet").unlink()
    export(ExportOptions(), copied)
    with pytest.raises(MinerError, match=r"duplicate_images.parquet is missing or damaged. Run `miner pairs --force`"):
        export(ExportOptions(without_duplicates=True), copied, force=True)
