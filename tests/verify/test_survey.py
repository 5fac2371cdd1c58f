"""Files that no manifest lists are found, and so are edited manifests."""

import json
import re

import pytest

from miner.artifacts.workspace import Workspace
from miner.engine.records import write_signed
from miner.verify.run import verify
from tests.verify.edits import rejects


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
