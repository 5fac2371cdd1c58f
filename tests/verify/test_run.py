import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.errors import MinerError, UsageError
from miner.export.options import ExportOptions
from miner.pairs.options import PairsOptions
from miner.run_stages import run_stage
from miner.verify.run import verify


def test_a_whole_workspace_passes_and_says_what_was_looked_at(workspace) -> None:
    result = verify(str(workspace.root))
    files = {path.relative_to(workspace.root).as_posix() for path in workspace.root.rglob("*") if path.is_file()}
    uncovered = {".lock", ".log.lock", ".source_versions.parquet", ".arithmetic.json"}
    assert result.record["files"] == len(files - uncovered)
    shards = result.record["checked"][str(workspace.shards)]
    manifest = json.loads((workspace.shards / "manifest.json").read_text())
    assert shards["images"] == 40 and shards["pairs"] == manifest["pairs"] > 60
    assert shards["similarities"] == manifest["pairs"]
    assert any("similarities computed again" in line for line in result.lines)


@pytest.mark.parametrize("stage", ["embeddings", "pairs", "shards", "runs/moco", "report"])
def test_one_stage_alone_copied_and_renamed(workspace, tmp_path, stage: str) -> None:
    copied = Path(shutil.copytree(workspace.root / stage, tmp_path / "elsewhere" / "renamed"))
    shutil.rmtree(workspace.root)
    assert list(verify(str(copied)).record["folders"]) == [str(copied)]
    assert list(verify(f"file://{copied}").record["folders"]) == [f"file://{copied}"]


def test_links_to_stage_folders_are_followed(workspace, tmp_path) -> None:
    (tmp_path / "linked").mkdir()
    for stage in ("embeddings", "pairs"):
        (tmp_path / "linked" / stage).symlink_to(workspace.root / stage)
    (workspace.pairs / "loop").symlink_to(workspace.pairs)
    assert len(verify(str(tmp_path / "linked")).record["folders"]) == 2


@pytest.mark.parametrize(
    "options", [{"references": True}, {"pairs_only": True}, {"max_degree": 1}, {"shard_count": 1}, {"seed": 3}]
)
def test_every_kind_of_export_passes(export_of, options: dict) -> None:
    made = export_of(**options)
    record = verify(str(made.root)).record["checked"][str(made.shards)]
    assert record["pairs"] > 10
    assert record["images"] == (0 if "pairs_only" in options else 40)


def test_images_of_any_size_are_read(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.effect_noise((2500, 2500 + number), 90).convert("RGB").save(tmp_path / "photos" / f"{number}.bmp")
    made = Workspace(tmp_path / "w")
    run_stage("embed", EmbedOptions(source=str(tmp_path / "photos"), device="cpu"), made, False)
    run_stage("pairs", PairsOptions(min=-1, max=0.99999), made, False)
    run_stage("export", ExportOptions(), made, False)
    assert verify(str(made.root)).record["checked"][str(made.shards)]["images"] == 2


def test_nothing_to_verify(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError, match="no folder that miner finished"):
            verify(str(place))


def test_an_unfinished_stage_is_named_and_not_checked(workspace) -> None:
    (workspace.pairs / "manifest.json").rename(workspace.pairs / "request.json")
    (workspace.pairs / ".pairs.parquet.partial").write_bytes(b"half")
    assert "pairs: begun and not finished" in verify(str(workspace.root)).lines[0]


def test_folders_of_an_older_version_pass_with_a_note(workspace, tmp_path) -> None:
    old = Path(shutil.copytree(workspace.pairs, tmp_path / "old"))
    manifest = json.loads((old / "manifest.json").read_text())
    del manifest["digest"]
    for record in manifest["files"].values():
        del record["blocks"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert "carries no digest" in verify(str(old)).lines[0]
    manifest["files"]["pairs.parquet"]["sha256"] = "0" * 64
    (old / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MinerError, match=r"pairs.parquet is damaged: its sha256"):
        verify(str(old))
