"""Damage of every kind in files of every kind is found, and the file is named."""

import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.artifacts.workspace import Workspace
from miner.engine.digest import file_record
from miner.engine.records import write_signed
from miner.engine.tar import write_tar
from miner.errors import MinerError
from miner.verify.run import verify

UNCOVERED = {".lock", ".log.lock"}


def all_files(root: Path) -> list[str]:
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return [name for name in names if name not in UNCOVERED]


def resign(folder: Path) -> None:
    """Make the checksums agree with what is there, as someone would who edits with care."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: file_record(folder / name) for name in manifest["files"]}
    write_signed(folder / "manifest.json", manifest)


def rejects(path: Path, message: str) -> str:
    with pytest.raises(MinerError, match=message) as caught:
        verify(str(path))
    return str(caught.value)


@pytest.fixture(scope="module")
def kept(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that a property test may damage and must mend."""
    return Path(shutil.copytree(finished, tmp_path_factory.mktemp("kept") / "w"))


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_anywhere_is_found_and_its_file_is_named(kept: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(all_files(kept)))
    content = (kept / name).read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    flipped = bytes([content[place] ^ data.draw(st.integers(1, 255))])
    stage = kept / name.partition("/")[0] if "/" in name and not name.startswith("runs") else kept
    try:
        (kept / name).write_bytes(content[:place] + flipped + content[place + 1 :])
        message = rejects(stage, re.escape(Path(name).name))
    finally:
        (kept / name).write_bytes(content)
    if region := re.search(r"between byte ([\d,]+) and byte ([\d,]+)", message):
        start, stop = (int(number.replace(",", "")) for number in region.groups())
        assert start <= place < stop
        assert stop - start <= max(4096, len(content) // 128)
    else:
        assert name.endswith(".json")


@pytest.mark.parametrize(
    "kind", ["*.tar", "*.npy", "*.parquet", "*.json", "*.pt", "*.safetensors", "*.jsonl", "*.html"]
)
def test_a_missing_a_shorter_and_a_longer_file_is_named(workspace: Workspace, kind: str) -> None:
    path = sorted(path for path in workspace.root.rglob(kind) if path.name not in ("manifest.json", "run.json"))[-1]
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    cut = rejects(workspace.root, re.escape(path.name))
    assert f"ends at byte {len(content) - 5:,}" in cut or "digest" in cut or "no JSON" in cut
    path.write_bytes(content + b"\n")
    longer = rejects(workspace.root, re.escape(path.name))
    assert f"goes on after byte {len(content):,}" in longer or "digest" in longer
    path.unlink()
    if kind != "*.json":
        assert "is missing" in rejects(workspace.root, re.escape(path.name))


def test_a_missing_shard_is_named(workspace: Workspace) -> None:
    (workspace.shards / "pairs-000001.tar").unlink()
    rejects(workspace.root, r"shards/pairs-000001.tar is missing")


@pytest.mark.parametrize(
    "name",
    [
        "shards/images-000009.tar",
        "shards/notes.txt",
        "embeddings/.hidden",
        "pairs/more/x.npy",
        "runs/moco/eval/x.json",
        "extra.txt",
        "somewhere/else.bin",
        "runs/other.txt",
        "report/x.json",
    ],
)
def test_an_extra_file_is_named(workspace: Workspace, name: str) -> None:
    (workspace.root / name).parent.mkdir(parents=True, exist_ok=True)
    (workspace.root / name).write_bytes(b"{}")
    message = rejects(workspace.root, re.escape(name))
    assert "extra file" in message or "digest" in message


def test_decisions_of_reviewers_may_grow_beside_the_stages(workspace: Workspace) -> None:
    workspace.review.mkdir()
    (workspace.review / "decisions.jsonl").write_text("")
    write_signed(workspace.review / "review.json", {"reviewers": []})
    assert verify(str(workspace.root))


def test_an_edited_manifest_is_found(workspace: Workspace) -> None:
    path = workspace.shards / "manifest.json"
    manifest = json.loads(path.read_text())
    for change in (
        {"images": 41},
        {"encoder": {**manifest["encoder"], "licence": "mine"}},
        {"samples": {}},
        {"digest": "0" * 64},
    ):
        path.write_text(json.dumps({**manifest, **change}, indent=2, sort_keys=True) + "\n")
        rejects(workspace.root, r"shards/manifest.json is damaged or was edited")
    path.write_text(json.dumps({name: value for name, value in manifest.items() if name != "digest"}))
    rejects(workspace.root, r"shards/manifest.json is damaged or was edited")
    path.write_text(json.dumps(manifest))  # the same content, spelled in another way
    rejects(workspace.root, r"shards/manifest.json is damaged or was edited")


def members_of(shard: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(shard) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]


def rewrite(shard: Path, members: list[tuple[str, bytes]]) -> None:
    stream = io.BytesIO()
    write_tar(stream, members)
    shard.write_bytes(stream.getvalue())


def exchange(members: list[tuple[str, bytes]], one: int, other: int) -> list[tuple[str, bytes]]:
    """The contents of two members change places."""
    changed = list(members)
    changed[one], changed[other] = (members[one][0], members[other][1]), (members[other][0], members[one][1])
    return changed


Edit = Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]


def with_json(number: int, **changes: object) -> Edit:
    def edit(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        name, content = members[number]
        changed = {**json.loads(content), **changes}
        return [*members[:number], (name, json.dumps(changed).encode()), *members[number + 1 :]]

    return edit


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
def test_a_shard_edited_with_care_is_found(workspace: Workspace, shard: str, edit: Edit, message: str) -> None:
    path = workspace.shards / f"{shard}-000000.tar"
    rewrite(path, edit(members_of(path)))
    resign(workspace.shards)
    found = rejects(workspace.shards, message)
    assert path.name in found
    assert "at byte" in found or "where the manifest says" in found


def test_images_exchanged_together_with_all_records_do_not_decode_to_what_was_embedded(workspace: Workspace) -> None:
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


def test_an_image_that_does_not_decode_is_named(workspace: Workspace) -> None:
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


def rewrite_table(path: Path, change: Callable[[dict[str, list]], None]) -> None:
    table = pq.read_table(path)
    columns = table.to_pydict()
    change(columns)
    pq.write_table(pa.table(columns, schema=table.schema), path)


def swap_rows(columns: dict[str, list]) -> None:
    for values in columns.values():
        values[3], values[4] = values[4], values[3]


def turn(columns: dict[str, list]) -> None:
    columns["a"][2], columns["b"][2] = columns["b"][2], columns["a"][2]


def put(column: str, value: object) -> Callable[[dict[str, list]], None]:
    def change(columns: dict[str, list]) -> None:
        columns[column][1] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_rows, "row 4 does not come after the row before it"),
        (turn, "row 2 pairs .* where a < b should hold"),
        (put("similarity", 0.4), "outside the band"),
        (put("similarity", float("nan")), "outside the band"),
        (put("similarity", 0.501), "but its vectors have"),
        (put("key_a", "nobody"), "calls image .* by another key in key_a"),
        (lambda columns: [values.pop() for values in columns.values()], "pairs, where the manifest says"),
    ],
)
def test_a_pair_table_edited_with_care_is_found(workspace: Workspace, change, message: str) -> None:
    rewrite_table(workspace.pairs / "pairs.parquet", change)
    resign(workspace.pairs)
    assert "pairs.parquet" in rejects(workspace.root, message)


def test_exported_similarities_are_computed_again_too(workspace: Workspace) -> None:
    """The table and the samples agree with each other, but not with the vectors."""
    shutil.rmtree(workspace.pairs)
    rewrite_table(workspace.shards / "pairs.parquet", put("similarity", 0.625))
    resign(workspace.shards)
    rejects(workspace.root, r"shards/pairs.parquet: row 1 has the similarity 0.6250000, but its vectors have")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda block: block * np.float16(1.1), r"has length 1\.[01]"),
        (lambda block: block * np.float16(0), "zero or not finite"),
        (lambda block: block[:-1], "rows for 15 vectors"),
        (lambda block: block[:, :-1], "where the manifest says float16"),
        (lambda block: block.astype(np.float32), "where the manifest says float16"),
    ],
)
def test_vectors_edited_with_care_are_found(workspace: Workspace, edit, message: str) -> None:
    path = workspace.embeddings / "img_emb" / "img_emb_00001.npy"
    np.save(path, edit(np.load(path)))
    resign(workspace.embeddings)
    rejects(workspace.embeddings, message)


def test_a_key_that_occurs_twice_is_found(workspace: Workspace) -> None:
    rewrite_table(workspace.embeddings / "metadata" / "metadata_00000.parquet", lambda c: put("key", c["key"][0])(c))
    resign(workspace.embeddings)
    rejects(workspace.embeddings, "occurs twice")


def test_the_index_for_random_access_is_checked(workspace: Workspace) -> None:
    path = workspace.shards / "index.json"
    path.write_text(path.read_text().replace('"nsamples": 60', '"nsamples": 61', 1))
    resign(workspace.shards)
    rejects(workspace.shards, "index.json lists other shards")


def test_verify_stays_inside_the_folder(workspace: Workspace) -> None:
    manifest = json.loads((workspace.pairs / "manifest.json").read_text())
    for name in ("../run.json", "/etc/hostname"):
        write_signed(
            workspace.pairs / "manifest.json",
            {**manifest, "files": {**manifest["files"], name: {"bytes": 1, "sha256": "0"}}},
        )
        rejects(workspace.pairs, "outside its folder")


@pytest.mark.parametrize("files", [[1], {"pairs.parquet": 3}, {"pairs.parquet": {"bytes": "1", "sha256": "0"}}])
def test_manifests_that_make_no_sense_are_explained(workspace: Workspace, files: object) -> None:
    manifest = json.loads((workspace.pairs / "manifest.json").read_text())
    write_signed(workspace.pairs / "manifest.json", {**manifest, "files": files})
    rejects(workspace.pairs, "manifest.json is damaged")
