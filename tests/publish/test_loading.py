"""What other people's libraries make of a published folder."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import mlcroissant
import pyarrow.parquet as pq
import pytest
import webdataset
import yaml

import miner
from miner.artifacts.manifests import ShardsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.publish.folders import miner_verify, publish_to

Publisher = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def load(folder: Path, name: str | None = None, streaming: bool = False) -> Any:
    return datasets.load_dataset(str(folder), name, split="train", streaming=streaming)


def names(folder: Path) -> list[str]:
    """The configurations of a card."""
    front = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    return [config["config_name"] for config in front["configs"]]


def load_shards(folder: Path, kind: str) -> list[datasets.Dataset]:
    """Shards of all image formats, by name."""
    return [load(folder / "data", name) for name in names(folder / "data") if name.startswith(kind)]


def test_default_gives_both_pictures_of_every_pair(published: Publisher, mined: Workspace) -> None:
    folder = published()
    pairs = load(folder)
    table = {row["pair_key"]: row for row in pq.read_table(mined.shards / "pairs.parquet").to_pylist()}
    originals = pq.read_table(mined.shards / "images.parquet").to_pylist()
    digests = {row["key"]: row["sha256"] for row in originals}
    assert pairs.column_names[:3] == ["anchor", "positive", "score"] and pairs.num_rows == len(table) > 20
    assert pairs.features["label_a"].names == ["class0", "class1", "class2"]
    plain = pairs.cast_column("anchor", datasets.Image(decode=False)).cast_column(
        "positive", datasets.Image(decode=False)
    )
    for row in plain:
        pair = table.pop(row["pair_key"])
        assert all(row[name] == pair[name] for name in ("key_a", "key_b", "mutual", "label_a", "label_b"))
        assert row["score"] == pair["similarity"]
        for side, key in (("anchor", row["key_a"]), ("positive", row["key_b"])):
            assert hashlib.sha256(row[side]["bytes"]).hexdigest() == digests[key]
    assert not table and pairs[0]["anchor"].size == pairs[0]["positive"].size == (40, 40)


def test_every_configuration_loads_by_its_name(published: Publisher, mined: Workspace) -> None:
    folder = published()
    manifest = json.loads((folder / "manifest.json").read_text())
    rows = {name: config["rows"] for name, config in manifest["configs"].items()}
    found = {name: path for path in (folder, folder / "data") for name in names(path)}
    assert found.keys() == rows.keys()
    for name, path in found.items():
        assert load(path, name).num_rows == rows[name]
        first = next(iter(load(path, name, streaming=True)))
        assert first.keys() == load(path, name).features.keys()


def test_schema_alone_tells_what_an_image_is(published: Publisher) -> None:
    """Without the card: the types stand in the files."""
    files = str(published() / "anchor-positive" / "*.parquet")
    pairs = datasets.load_dataset("parquet", data_files=files, split="train")
    assert pairs.features["positive"] == datasets.Image() and pairs.features["label_b"].names[1] == "class1"


def test_keys_of_the_pairs(published: Publisher, mined: Workspace) -> None:
    pairs = load(published(), "pairs")
    table = pq.read_table(mined.shards / "pairs.parquet")
    assert pairs["similarity"][:] == table["similarity"].to_pylist()
    assert pairs.features["label_a"].names == ["class0", "class1", "class2"]
    assert pairs["label_a"][:] == table["label_a"].to_pylist()


def test_datasets_loads_images_in_either_format(published: Publisher) -> None:
    jpg, png = load_shards(published(), "images-")
    assert (jpg.num_rows, jpg.column_names) == (17, ["jpg", "json", "__key__", "__url__"])
    assert (png.num_rows, png.column_names) == (8, ["png", "json", "__key__", "__url__"])
    for images, column in ((jpg, "jpg"), (png, "png")):
        assert images.features["json"]["label"].names == ["class0", "class1", "class2"]
        for row in images:
            assert row[column].size == (row["json"]["width"], row["json"]["height"]) == (40, 40)
            assert row["__key__"] == row["json"]["key"]


def test_datasets_loads_both_images_of_every_pair(published: Publisher) -> None:
    folder = published()
    pairs = {row["pair_key"]: row for row in load(folder, "pairs")}
    sets = load_shards(folder, "pairs-inline")
    assert sum(shards.num_rows for shards in sets) == len(pairs)
    for shards in sets:
        a, b = (name for name in shards.column_names if name.startswith(("a.", "b.")))
        for row in shards:
            pair = pairs.pop(row["__key__"])
            assert (row["json"]["key_a"], row["json"]["label_b"]) == (pair["key_a"], pair["label_b"])
            assert row[a].size == row[b].size == (40, 40)
    assert not pairs


def test_unlabelled_images_of_one_format(make_photos, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    embed(EmbedOptions(source=str(make_photos(count=8, classes=0))), workspace)
    pairs(PairsOptions(min=0.2, max=0.99), workspace)
    export(ExportOptions(), workspace)
    publish_to(tmp_path / "set", workspace)
    (images,) = load_shards(tmp_path / "set", "images")
    assert (images.num_rows, images[0]["json"]["label"]) == (8, None)
    assert load(tmp_path / "set", "pairs")["label_a"][0] is None
    assert "label_a" not in load(tmp_path / "set").column_names
    assert "Label precision" not in (tmp_path / "set" / "README.md").read_text()


def test_webdataset_reads_the_original_bytes(published: Publisher, mined: Workspace) -> None:
    data = published() / "data"
    originals = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (mined.root.parent / "photos").rglob("*.*")}
    shards = "::".join(sorted(str(path) for path in data.glob("images-*.tar")))
    images = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert {hashlib.sha256(row.get("jpg") or row["png"]).hexdigest() for row in images} == originals
    shards = "::".join(sorted(str(path) for path in data.glob("pairs-*.tar")))
    samples = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")
    found = list(samples.to_tuple("a.jpg;a.png", "b.jpg;b.png", "json"))
    assert len(found) == ShardsManifest.read(mined).pairs
    assert all(a.size == b.size == (40, 40) and record["key_a"] != record["key_b"] for a, b, record in found)


def test_the_code_in_the_card_runs(published: Publisher) -> None:
    """Each block of Python in the card, from the folder's parent, in one process."""
    folder = published()
    blocks = (folder / "README.md").read_text().split("```python\n")[1:]
    code = "\n".join(block.partition("```")[0] for block in blocks).replace("data/pairs-", f"{folder.name}/data/pairs-")
    check = "\nassert a.size == b.size == (40, 40) and len(list(pairs)) == len(keys) > 20 and len(shards) == 8\n"
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
    pictures = next(iter(found.records("anchor-positive")))
    assert pictures["anchor-positive/anchor"].size == pictures["anchor-positive/positive"].size == (40, 40)
    listed = {file.id: file.sha256 for file in found.metadata.file_objects}
    assert listed == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in listed}
    assert {"data/pairs.parquet", "data/images-jpg-000000.tar", "mined/duplicates.parquet"} < listed.keys()


def test_croissant_reads_images(published: Publisher, tmp_path: Path) -> None:
    code = (
        "import sys, mlcroissant\n"
        "found = mlcroissant.Dataset(jsonld=sys.argv[1])\n"
        "for kind in ('jpg', 'png'):\n"
        "    for record in found.records(f'images-{kind}'):\n"
        "        print(record[f'images-{kind}/key'].decode(), *record[f'images-{kind}/image'].size)\n"
    )
    folder = published()
    answer = subprocess.run(
        [sys.executable, "-c", code, str(folder / "croissant.json")],
        env={**os.environ, "CROISSANT_CACHE": str(tmp_path / "croissant")},
        capture_output=True,
        text=True,
        check=True,
    )
    keys = load(folder, "image-table")["key"]
    assert sorted(answer.stdout.splitlines()) == sorted(f"{key} 40 40" for key in keys)


def test_sha256sum_and_verify_pass_and_find_damage(published: Publisher) -> None:
    folder = published()
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
    listed = {line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    assert listed == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {
        "SHA256SUMS",
        "manifest.json",
    }
    answer = miner_verify(folder)
    assert answer.returncode == 0, answer.stderr
    below = len([name for name in listed if name.startswith("data/")]) - 1  # all but its manifest
    assert json.loads(answer.stdout)["folders"] == {str(folder): len(listed) + 1, str(folder / "data"): below}
    for own in (
        ".gitattributes",
        ".git/HEAD",
        ".cache/huggingface/download/README.md.metadata",
    ):  # of git and of the Hub
        (folder / own).parent.mkdir(parents=True, exist_ok=True)
        (folder / own).write_text("x")
    assert miner_verify(folder).returncode == 0
    (folder / "data" / ".hidden").write_text("x")
    assert "extra file" in miner_verify(folder).stderr
    (folder / "data" / ".hidden").unlink()
    shard = folder / "data" / "images-jpg-000000.tar"
    data = shard.read_bytes()
    shard.unlink()  # a hard link: the bytes of the workspace stay as they are
    shard.write_bytes(data[:600] + b"x" + data[601:])
    answer = miner_verify(folder)
    assert answer.returncode == 1 and "images-jpg-000000.tar is damaged" in answer.stderr


def test_published_pairs_are_streamed_with_torch_alone(workspace: Workspace, tmp_path: Path) -> None:
    set_folder, wanted = tmp_path / "set", PairsManifest.read(workspace).pairs
    publish_to(set_folder, workspace)
    for folder in (set_folder, set_folder / "data"):
        shards = miner.PairShards(str(folder))
        assert len(shards) == len(list(shards)) == wanted
    export(ExportOptions(references=True), workspace, force=True)
    publish_to(tmp_path / "references", workspace)
    with pytest.raises(MinerError, match="hold both images of each pair"):
        miner.PairShards(str(tmp_path / "references"))
