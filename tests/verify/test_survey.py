"""Files that no manifest lists are found, and so are edited manifests, and files that were flipped, cut, prolonged or removed."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.artifacts.workspace import Workspace
from miner.engine.records import write_signed
from miner.verify.run import verify
from tests.artifacts.test_litter import LITTER
from tests.verify.edits import rejects

UNCOVERED = {".lock", ".log.lock", ".source_versions.parquet", ".arithmetic.json"}


def all_files(root: Path) -> list[str]:
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return [name for name in names if name not in UNCOVERED]


@pytest.fixture(scope="module")
def kept(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that a property test may damage and must mend."""
    return Path(shutil.copytree(finished, tmp_path_factory.mktemp("kept") / "w"))


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_flipped_byte_anywhere_is_found_and_named(kept: Path, data: st.DataObject) -> None:
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


@pytest.mark.parametrize("kind", ["*.tar", "*.npy", "*.parquet", "*.json", "*.safetensors", "*.jsonl", "*.html"])
def test_missing_shorter_or_longer_file_is_named(workspace: Workspace, kind: str) -> None:
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


def test_litter_is_no_extra_file(workspace: Workspace) -> None:
    folders = [workspace.root, *(path for path in workspace.root.rglob("*") if path.is_dir())]
    for folder in folders:
        for name in LITTER:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"\0\5\x16\7")
    assert verify(str(workspace.root)).record["folders"] and verify(str(workspace.pairs)).record["files"]
    (workspace.pairs / "thumbs.txt").write_bytes(b"")
    rejects(workspace.root, "thumbs.txt is an extra file")


def test_missing_shard_is_named(workspace: Workspace) -> None:
    (workspace.shards / "pairs-000001.tar").unlink()
    rejects(workspace.root, r"shards/pairs-000001.tar is missing")


def test_files_outside_the_folder_are_refused(workspace: Workspace) -> None:
    manifest = json.loads((workspace.pairs / "manifest.json").read_text())
    for name in ("../run.json", "/etc/hostname"):
        write_signed(
            workspace.pairs / "manifest.json",
            {**manifest, "files": {**manifest["files"], name: {"bytes": 1, "sha256": "0"}}},
        )
        rejects(workspace.pairs, "outside its folder")


@pytest.mark.parametrize("files", [[1], {"pairs.parquet": 3}, {"pairs.parquet": {"bytes": "1", "sha256": "0"}}])
def test_manifest_without_sense_is_explained(workspace: Workspace, files: object) -> None:
    manifest = json.loads((workspace.pairs / "manifest.json").read_text())
    write_signed(workspace.pairs / "manifest.json", {**manifest, "files": files})
    rejects(workspace.pairs, "manifest.json is damaged")


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
def test_extra_file_is_named(workspace: Workspace, name: str) -> None:
    (workspace.root / name).parent.mkdir(parents=True, exist_ok=True)
    (workspace.root / name).write_bytes(b"{}")
    message = rejects(workspace.root, re.escape(name))
    assert "extra file" in message or "digest" in message


def test_decisions_may_grow_beside_the_stages(workspace: Workspace) -> None:
    workspace.review.mkdir()
    (workspace.review / "decisions.jsonl").write_text("")
    write_signed(workspace.review / "review.json", {"reviewers": []})
    assert verify(str(workspace.root))


def test_edited_manifest_is_found(workspace: Workspace) -> None:
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
