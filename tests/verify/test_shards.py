"""Shards that were edited with care, checksums and all, are found."""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.artifacts.workspace import Workspace
from tests.verify.edits import Edit, exchange, members_of, put, rejects, resign, rewrite, rewrite_table, with_json


@pytest.mark.parametrize(
    ("shard", "edit", "message"),
    [
        ("images", lambda m: exchange(m, 0, 2), "does not have the checksum of its record"),
        ("images", lambda m: exchange(exchange(m, 0, 2), 1, 3), "its record belongs to"),
        ("images", lambda m: [*m[2:4], *m[:2], *m[4:]], "is not the one that images.parquet lists"),
        ("images", lambda m: m[2:], "not the one that images.parquet lists|samples, where the manifest says"),
        ("images", lambda m: m[:-2], "samples, where the manifest says"),
        ("images", lambda m: [*m, *m[:2]], "occurs twice"),
        ("images", lambda m: m[1:], "it has the fields json, not"),
        ("images", with_json(1, sha256="0" * 64), "does not have the checksum"),
        ("pairs", lambda m: exchange(m, 0, 1), "is not .* of the image table"),
        ("pairs", lambda m: exchange(m, 0, 3), "is not .* of the image table"),
        ("pairs", lambda m: exchange(m, 2, 5), "is not the pair that pairs.parquet lists"),
        ("pairs", lambda m: m[:-3], "samples, where the manifest says"),
        ("pairs", lambda m: [*m[:2], *m[3:]], "fields"),
        ("pairs", with_json(2, key_b="nobody"), "is not the pair that pairs.parquet lists"),
        ("pairs", with_json(2, similarity=0.9), "is not the pair that pairs.parquet lists"),
        ("pairs", lambda m: [*m[:3], ("stranger.json", b"{}"), *m[3:]], "it has the fields json"),
    ],
)
def test_edited_shard_is_found(workspace: Workspace, shard: str, edit: Edit, message: str) -> None:
    path = workspace.shards / f"{shard}-000000.tar"
    rewrite(path, edit(members_of(path)))
    resign(workspace.shards)
    found = rejects(workspace.shards, message)
    assert path.name in found
    assert "at byte" in found or "where the manifest says" in found


def test_images_exchanged_with_their_records_are_found(workspace: Workspace) -> None:
    """Two images of one size, their JSON, and the image table agree; the pairs do not."""
    shard, table_path = workspace.shards / "images-000000.tar", workspace.shards / "images.parquet"
    members = exchange(members_of(shard), 0, 2)
    for record, image in ((1, 0), (3, 2)):
        members = with_json(record, sha256=hashlib.sha256(members[image][1]).hexdigest())(members)
    rewrite(shard, [(name, content) for name, content in members])
    table = pq.read_table(table_path)
    digests = {name.split(".")[0]: hashlib.sha256(content).hexdigest() for name, content in members[::2]}
    shas = [digests.get(row["key"], row["sha256"]) for row in table.to_pylist()]
    table = table.set_column(table.column_names.index("sha256"), "sha256", pa.array(shas))
    offsets = dict(zip((name.split(".")[0] for name, _ in members[::2]), _offsets(shard), strict=True))
    table = table.set_column(
        table.column_names.index("offset"),
        "offset",
        pa.array([offsets.get(row["key"], row["offset"]) for row in table.to_pylist()]),
    )
    pq.write_table(table, table_path)
    resign(workspace.shards)
    rejects(workspace.shards, r"pairs-00000\d.tar.*of the image table|images-000000.tar")


def _offsets(shard: Path) -> list[int]:
    with tarfile.open(shard) as tar:
        return [member.offset_data for member in tar][::2]


def test_image_that_does_not_decode_is_named(workspace: Workspace) -> None:
    shard, table_path = workspace.shards / "images-000000.tar", workspace.shards / "images.parquet"
    members = members_of(shard)
    broken = bytes(len(members[0][1]))
    sha256 = hashlib.sha256(broken).hexdigest()
    members = with_json(1, sha256=sha256)([(members[0][0], broken), *members[1:]])
    name, content = members[1]
    members[1] = (name, json.dumps(json.loads(content), separators=(",", ":")).encode())
    rewrite(shard, members)
    key = members[0][0].split(".")[0]
    table = pq.read_table(table_path)
    shas = [sha256 if row["key"] == key else row["sha256"] for row in table.to_pylist()]
    pq.write_table(table.set_column(table.column_names.index("sha256"), "sha256", pa.array(shas)), table_path)
    resign(workspace.shards)
    rejects(workspace.shards, rf"images-000000.tar, sample {key} .*image at byte 512: no known image format")


def test_exported_similarities_are_computed_again(workspace: Workspace) -> None:
    """The table and the samples agree with each other, but not with the vectors."""
    shutil.rmtree(workspace.pairs)
    rewrite_table(workspace.shards / "pairs.parquet", put("similarity", 0.625))
    resign(workspace.shards)
    rejects(workspace.root, r"shards/pairs.parquet: row 1 has the similarity 0.6250000, but its vectors have")


def test_edited_index_is_found(workspace: Workspace) -> None:
    path = workspace.shards / "index.json"
    path.write_text(path.read_text().replace('"nsamples": 60', '"nsamples": 61', 1))
    resign(workspace.shards)
    rejects(workspace.shards, "index.json lists other shards")
