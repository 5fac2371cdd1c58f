"""The table with both images of every pair: its files and row groups, and what publish, verify and sources make of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mlcroissant
import pyarrow.parquet as pq
import pytest

from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.publish import image_pairs
from miner.review.options import ReviewOptions
from miner.review.run import review
from miner.source import open_source
from miner.verify.run import verify
from tests.publish.folders import contents, publish_to

Publisher = Callable[..., Path]
ONE = "anchor-positive/train-00000-of-00001.parquet"


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_pairs, "_SHARD_BYTES", 150_000)
    monkeypatch.setattr(image_pairs, "_GROUP_ROWS", 10)


def test_large_tables_are_cut_into_files(small_files: None, published: Publisher, mined: Workspace) -> None:
    folder = published()
    files = sorted((folder / "anchor-positive").iterdir())
    assert [path.name for path in files] == [f"train-{number:05d}-of-00003.parquet" for number in range(3)]
    assert all(path.stat().st_size < 165_000 for path in files)
    footers = [pq.read_metadata(path) for path in files]
    assert all(footer.row_group(at).num_rows <= 10 for footer in footers for at in range(footer.num_row_groups))
    keys = [key for path in files for key in pq.read_table(path, columns=["pair_key"])["pair_key"].to_pylist()]
    mined_keys = pq.read_table(mined.shards / "pairs.parquet")["pair_key"].to_pylist()
    assert sorted(keys) == mined_keys != keys  # shuffled
    assert verify(str(folder)).record["checked"][str(folder)] == {"pairs": len(keys)}
    records = mlcroissant.Dataset(jsonld=folder / "croissant.json").records("anchor-positive")
    assert sorted(record["anchor-positive/pair_key"].decode() for record in records) == mined_keys


def test_interrupted_table_continues_to_the_same_bytes(
    small_files: None, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_to(tmp_path / "a" / "set", workspace)
    written: list[str] = []
    rows = image_pairs.ImagePairs._rows

    def killed(self, start: int, stop: int, schema):
        if start > 60:
            raise KeyboardInterrupt
        written.append(f"{start}")
        return rows(self, start, stop, schema)

    with monkeypatch.context() as patch:
        patch.setattr(image_pairs.ImagePairs, "_rows", killed)
        with pytest.raises(KeyboardInterrupt):
            publish_to(tmp_path / "b" / "set", workspace)
    (first,) = (tmp_path / "b" / "set" / "anchor-positive").glob("train-*")
    time = first.stat().st_mtime_ns
    publish_to(tmp_path / "b" / "set", workspace)
    assert written and first.stat().st_mtime_ns == time
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_images_once_leaves_the_table_out(workspace: Workspace, tmp_path: Path, capsys) -> None:
    publish_to(tmp_path / "large" / "set", workspace)
    assert "repeats the images in every pair: about 401.8 kB for 33.7 kB of images" in capsys.readouterr().err
    export(ExportOptions(references=True), workspace, force=True)
    result = publish_to(tmp_path / "set", workspace, images_once=True)
    assert not (tmp_path / "set" / "anchor-positive").exists() and not capsys.readouterr().err
    assert next(iter(result.record["configs"])) == "pairs"
    assert verify(str(tmp_path / "set")).record["checked"]


@pytest.mark.parametrize("form", ["references", "pairs_only"])
def test_images_come_from_any_shards(form: str, mined: Workspace, workspace: Workspace, tmp_path: Path) -> None:
    publish_to(tmp_path / "a", workspace)
    export(ExportOptions(**{form: True}), workspace, force=True)
    publish_to(tmp_path / "b", workspace)
    assert (tmp_path / "a" / ONE).read_bytes() == (tmp_path / "b" / ONE).read_bytes()


def test_published_images_are_a_source_once(workspace: Workspace, tmp_path: Path) -> None:
    export(ExportOptions(references=True), workspace, force=True)  # the shards are smaller than the table
    publish_to(tmp_path / "set", workspace)
    assert len(open_source(str(tmp_path / "set")).entries) == 25


def test_verdicts_of_reviewers_are_a_column(workspace: Workspace, tmp_path: Path) -> None:
    pair = pq.read_table(workspace.shards / "pairs.parquet").to_pylist()[3]
    answer = {"key_a": pair["key_b"], "key_b": pair["key_a"], "decision": "same", "reviewer": "ada", "similarity": 0.6}
    workspace.review.mkdir()
    line = json.dumps({**answer, "time": "2026-01-02T03:04:05Z", "slice": [0.5, 0.7]})
    (workspace.review / "decisions.jsonl").write_text(line + "\n")
    publish_to(tmp_path / "set", workspace)
    table = pq.read_table(tmp_path / "set" / ONE, columns=["pair_key", "verdict"]).to_pylist()
    assert {row["pair_key"]: row["verdict"] for row in table if row["verdict"]} == {pair["pair_key"]: "same"}
    card = (tmp_path / "set" / "README.md").read_text()
    assert "`verdict`: what most reviewers said" in card and "ada" not in card and "## Review" not in card
    review(ReviewOptions(summary=True), workspace)
    publish_to(tmp_path / "again", workspace)
    card = (tmp_path / "again" / "README.md").read_text()
    assert "1 person gave 1 answer to the question: Do these two" in card and "ada" not in card
    (workspace.review / "decisions.jsonl").write_text(line.replace("same", "different") + "\n")
    with pytest.raises(MinerError, match="another data set"):
        publish_to(tmp_path / "set", workspace)


def test_verify_finds_another_image_behind_good_checksums(published: Publisher) -> None:
    """A table that was written again with other content, as by someone who also signs manifests."""
    folder = published()
    for change, words in (
        ({"anchor": lambda row: row["positive"]}, "row 0, anchor: the image is not"),
        ({"score": lambda row: 0.1}, "is not a pair of data/pairs.parquet"),
    ):
        table = pq.read_table(folder / ONE)
        rows = table.to_pylist()
        rows[0] |= {name: made(rows[0]) for name, made in change.items()}
        copy = folder.with_name(next(iter(change)))
        shutil.copytree(folder, copy)
        (copy / ONE).unlink()
        pq.write_table(table.from_pylist(rows, table.schema), copy / ONE)
        _sign(copy)
        with pytest.raises(MinerError, match=words):
            verify(str(copy))


def test_damaged_shard_is_found_before_images_are_copied(workspace: Workspace, tmp_path: Path) -> None:
    shard = workspace.shards / "images-jpg-000000.tar"
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    with pytest.raises(MinerError, match=r"images-jpg-000000.tar is damaged at byte 512"):
        publish_to(tmp_path / "set", workspace)


def _sign(folder: Path) -> None:
    from miner.engine import file_record, write_signed

    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][ONE] = file_record(folder / ONE)
    write_signed(folder / "manifest.json", manifest)
