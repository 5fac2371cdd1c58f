"""What other people's libraries make of a published folder."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import mlcroissant
import pyarrow.parquet as pq
import pytest
import webdataset

from miner.export.verify import verify
from miner.workspace import Workspace

Publisher = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def load(folder: Path, name: str | None = None, shards: bool = False) -> datasets.Dataset:
    """As the card says: shards by folder and types."""
    more = {}
    if shards:
        more = {"data_dir": name, "features": datasets.load_dataset_builder(str(folder), name).info.features}
    return datasets.load_dataset(str(folder), name, split="train", **more)


def test_datasets_loads_the_pairs_by_default(published: Publisher, mined: Workspace) -> None:
    pairs = load(published())
    table = pq.read_table(mined.shards / "pairs.parquet")
    assert pairs.num_rows == table.num_rows > 20
    assert pairs["similarity"][:] == table["similarity"].to_pylist()
    assert pairs.features["label_a"].names == ["class0", "class1", "class2"]
    assert pairs["label_a"][:] == table["label_a"].to_pylist()
    assert load(published(), "pairs").num_rows == table.num_rows


def test_datasets_loads_images_in_either_format(published: Publisher, mined: Workspace) -> None:
    images = load(published(), "images", shards=True)
    assert (images.num_rows, images.column_names) == (25, ["jpg", "png", "json", "__key__", "__url__"])
    assert images.features["json"]["label"].names == ["class0", "class1", "class2"]
    for row in images:
        shown = row["jpg"] or row["png"]
        assert shown.size == (row["json"]["width"], row["json"]["height"]) == (40, 40)
        assert row["__key__"] == row["json"]["key"]
    assert sum(row["png"] is not None for row in images) == 8


def test_datasets_loads_both_images_of_every_pair(published: Publisher) -> None:
    folder = published()
    pairs = {row["pair_key"]: row for row in load(folder, "pairs")}
    inline = load(folder, "pairs-inline", shards=True)
    assert inline.num_rows == len(pairs)
    for row in inline:
        assert row["json"]["key_a"] == pairs[row["__key__"]]["key_a"]
        assert row["json"]["label_b"] == pairs[row["__key__"]]["label_b"]
        assert (row["a.jpg"] or row["a.png"]).size == (row["b.jpg"] or row["b.png"]).size == (40, 40)


def test_webdataset_reads_the_original_bytes(published: Publisher, mined: Workspace) -> None:
    folder = published()
    originals = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (mined.root.parent / "photos").rglob("*.*")}
    images = list(webdataset.WebDataset(str(folder / "images" / "images-000000.tar"), shardshuffle=False))
    assert {hashlib.sha256(row.get("jpg") or row["png"]).hexdigest() for row in images} == originals
    shards = webdataset.WebDataset(str(folder / "pairs-inline" / "pairs-000000.tar"), shardshuffle=False)
    pairs = list(shards.decode("pil").to_tuple("a.jpg;a.png", "b.jpg;b.png", "json"))
    assert len(pairs) == load(folder).num_rows
    assert all(a.size == b.size == (40, 40) and record["key_a"] != record["key_b"] for a, b, record in pairs)


def test_the_code_in_the_card_runs(published: Publisher) -> None:
    """Each block of Python in the card, from the folder's parent, in one process."""
    folder = published()
    blocks = (folder / "README.md").read_text().split("```python\n")[1:]
    code = "\n".join(block.partition("```")[0] for block in blocks).replace(
        "pairs-inline/", f"{folder.name}/pairs-inline/"
    )
    check = "\nassert pair['key_a'] in row and len(list(pairs)) > 20\n"
    environment = {**os.environ, "HF_HOME": str(folder.parent / "hf"), "HF_HUB_OFFLINE": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", code + check],
        cwd=folder.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


def test_croissant_is_valid_and_reads_pairs(published: Publisher, mined: Workspace) -> None:
    folder = published(author="Ada Lovelace; Grace Hopper", homepage="https://example.org/pairs", date="2026-01-02")
    found = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    issues = found.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    table = pq.read_table(mined.shards / "pairs.parquet").to_pylist()
    records = list(found.records("pairs"))
    assert len(records) == len(table)
    assert [record["pairs/key_b"].decode() for record in records] == [row["key_b"] for row in table]
    assert records[0]["pairs/similarity"] == pytest.approx(table[0]["similarity"])
    listed = {file.id: file.sha256 for file in found.metadata.file_objects}
    assert listed == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in listed}
    assert {name.partition("/")[0] for name in listed} == {"pairs", "images", "pairs-inline", "duplicates"}


def test_croissant_reads_images(published: Publisher, tmp_path: Path) -> None:
    code = (
        "import sys, mlcroissant\n"
        "found = mlcroissant.Dataset(jsonld=sys.argv[1])\n"
        "for kind in ('jpg', 'png'):\n"
        "    for record in found.records(f'images-of-{kind}'):\n"
        "        print(record[f'images-of-{kind}/key'].decode(), *record[f'images-of-{kind}/image'].size)\n"
    )
    folder = published()
    answer = subprocess.run(
        [sys.executable, "-c", code, str(folder / "croissant.json")],
        env={**os.environ, "CROISSANT_CACHE": str(tmp_path / "croissant")},
        capture_output=True,
        text=True,
        check=True,
    )
    images = load(folder, "images", shards=True)
    assert sorted(answer.stdout.splitlines()) == sorted(f"{key} 40 40" for key in images["__key__"])


def test_sha256sum_and_verify_pass_and_find_damage(published: Publisher) -> None:
    folder = published()
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
    listed = {line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    assert listed == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {
        "SHA256SUMS",
        "manifest.json",
    }
    assert verify(folder).record["folders"] == {str(folder): len(listed) + 1}
    assert json.loads((folder / "manifest.json").read_text())["samples"]["images/images-000000.tar"] == 25
    shard = folder / "images" / "images-000000.tar"
    data = shard.read_bytes()
    shard.unlink()  # a hard link: the bytes of the workspace stay as they are
    shard.write_bytes(data[:600] + b"x" + data[601:])
    with pytest.raises(Exception, match=r"images-000000.tar is damaged"):
        verify(folder)
