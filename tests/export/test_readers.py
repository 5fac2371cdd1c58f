"""What others have written opens what is exported: webdataset is in test_export, here are datasets, wids and GNU tar."""

import hashlib
import io
import json
import subprocess
from pathlib import Path

import datasets
import pytest
import wids

from miner.export.options import ExportOptions
from miner.export.run import export
from tests.export.folders import samples


@pytest.fixture(autouse=True)
def _caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDS_CACHE", str(tmp_path / "wids"))


def load(folder: Path, pattern: str, cache: Path, **options) -> datasets.Dataset:
    return datasets.load_dataset(
        "webdataset", data_files=str(folder / pattern), split="train", cache_dir=str(cache), **options
    )


def test_datasets_infers_images_and_pairs(workspace, tmp_path) -> None:
    manifest = export(ExportOptions(shard_count=20), workspace).record
    images = load(workspace.shards, "images-*.tar", tmp_path / "cache")
    assert len(images) == 16
    assert isinstance(images.features["jpg"], datasets.Image)
    assert all(row["jpg"].size == (40, 40) for row in images)
    pairs = load(workspace.shards, "pairs-*.tar", tmp_path / "cache")
    assert len(pairs) == manifest["pairs"]
    assert {"a.jpg", "b.jpg", "json", "__key__", "__url__"} == set(pairs.features)
    raw = {row["__key__"]: row["jpg"]["bytes"] for row in images.cast_column("jpg", datasets.Image(decode=False))}
    for row in pairs.cast_column("a.jpg", datasets.Image(decode=False)):
        assert row["a.jpg"]["bytes"] == raw[row["json"]["key_a"]]


def test_each_set_of_mixed_endings_loads_without_a_hole(mixed, tmp_path) -> None:
    manifest = export(ExportOptions(), mixed).record
    assert set(manifest["sets"]) == {
        "images-jpg",
        "images-png",
        "pairs-jpg-jpg",
        "pairs-jpg-png",
        "pairs-png-jpg",
        "pairs-png-png",
    }
    for name, record in manifest["sets"].items():
        rows = load(mixed.shards, f"{name}-[0-9]*.tar", tmp_path / name)
        assert len(rows) == record["samples"]
        assert set(rows.features) - {"__key__", "__url__"} == set(record["fields"])
        assert all(row[field] is not None for row in rows for field in record["fields"])
    assert (
        sum(record["samples"] for name, record in manifest["sets"].items() if name.startswith("pairs"))
        == (manifest["pairs"])
    )


def test_all_sets_load_together_when_the_columns_are_named(mixed, tmp_path) -> None:
    export(ExportOptions(), mixed)
    image, integer = datasets.Image(), datasets.Value("int64")
    text = datasets.Value("string")
    record = {"key": text, "label": integer, "width": integer, "height": integer, "sha256": text}
    features = datasets.Features({"jpg": image, "png": image, "json": record, "__key__": text, "__url__": text})
    rows = load(mixed.shards, "images-*.tar", tmp_path / "cache", features=features)
    assert len(rows) == 12
    assert all((row["jpg"] is None) != (row["png"] is None) for row in rows)


def test_datasets_reads_labels_of_a_partly_labelled_set(partly_labelled, tmp_path) -> None:
    export(ExportOptions(), partly_labelled)
    rows = load(partly_labelled.shards, "images-*.tar", tmp_path / "cache")
    assert sorted(row["json"]["label"] for row in rows) == [-1] * 8 + [0, 0, 1, 1]


def test_wids_gives_samples_by_number(workspace) -> None:
    manifest = export(ExportOptions(shard_count=9), workspace).record
    pairs = wids.ShardListDataset(str(workspace.shards / "index.json"), transformations=[])
    expected = samples(workspace.shards, "pairs")
    assert len(pairs) == len(expected) == manifest["pairs"]
    for number in (0, 8, 9, len(expected) - 1):
        sample = pairs[number]
        assert sample["__key__"] == expected[number]["__key__"]
        assert content(sample[".a.jpg"]) == expected[number]["a.jpg"]
    images = wids.ShardListDataset(str(workspace.shards / "index-images.json"), transformations=[])
    assert len(images) == 16
    record = json.loads(content(images[15][".json"]))
    assert hashlib.sha256(content(images[15][".jpg"])).hexdigest() == record["sha256"]


def content(stream: io.BytesIO | bytes) -> bytes:
    return stream if isinstance(stream, bytes) else stream.read()


def test_gnu_tar_lists_and_unpacks(workspace, tmp_path) -> None:
    manifest = export(ExportOptions(), workspace).record
    names = []
    for shard in manifest["samples"]:
        path = str(workspace.shards / shard)
        answer = subprocess.run(["tar", "tvf", path], capture_output=True, text=True, check=True)
        assert answer.stderr == ""
        assert all(line.startswith("-rw-r--r-- 0/0") for line in answer.stdout.splitlines())
        names += subprocess.run(["tar", "tf", path], capture_output=True, text=True, check=True).stdout.split()
        subprocess.run(["tar", "xf", path, "-C", str(tmp_path)], check=True)
    assert len(names) == len(set(names)) == 2 * 16 + 3 * manifest["pairs"]
    sample = samples(workspace.shards, "images")[0]
    assert (tmp_path / f"{sample['__key__']}.jpg").read_bytes() == sample["jpg"]
