"""The folders and the log of a workspace."""

import json
import os
import sys
from pathlib import Path

import pytest

from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.engine.records import Result
from miner.errors import MinerError


def test_refused_command_leaves_no_new_folder(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("new", "old"):
        with pytest.raises(MinerError, match="is missing"), Workspace(tmp_path / name).locked():
            PairsManifest.read(Workspace(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/usr/bin/miner", "embed", "my photos", "-w", "w"], "`miner embed 'my photos' -w w` (process "),
        (["miner", "pairs", "caf\udce9\n"], "`miner pairs 'caf\\udce9 '` (process "),
        (["miner", "x" * 5000], f"`miner {'x' * 194}` (process "),
    ],
)
def test_locked_workspace_says_who_works_in_it(tmp_path: Path, monkeypatch, arguments, said) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    workspace = Workspace(tmp_path)
    with workspace.locked(), pytest.raises(MinerError) as caught, workspace.locked():
        pass
    assert str(caught.value).startswith(f"{said}{os.getpid()}, since 20")
    assert (tmp_path / ".lock").read_bytes() == b""
    with workspace.locked():
        pass


def test_folders_are_locked_one_by_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["miner", "train"])
    workspace = Workspace(tmp_path / "w")
    with workspace.locked(["runs/a"], ["pairs"]), workspace.locked(["runs/a/eval", "shards"], ["pairs"]):
        assert len(workspace.working()) == 1 and "`miner train`" in workspace.working()[0]
        for writes, reads in ((["pairs"], []), (["report"], ["runs/a"]), (["runs/a"], []), ([], [])):
            with pytest.raises(MinerError, match=r"`miner train` .* is working"), workspace.locked(writes, reads):
                pass
    with workspace.locked(), pytest.raises(MinerError, match="is working"), workspace.locked(["pairs"]):
        pass
    assert not workspace.working() and not workspace.root.exists()


def test_log_keeps_every_stage(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.log_stage("embed", {"a": 1}, Result("embed", {"count": 3}), 1.5)
    workspace.log_stage("pairs", {}, Result("pairs", {}), 0.1)
    stages = json.loads((tmp_path / "run.json").read_text())["stages"]
    assert sorted(stages) == ["embed", "pairs"]
    assert stages["embed"]["seconds"] == 1.5 and stages["embed"]["environment"]["python"]


def test_a_log_entry_that_a_killed_stage_lost_is_restored(tmp_path: Path) -> None:
    workspace, done = Workspace(tmp_path), tmp_path / "manifest.json"
    done.write_text("{}")
    os.utime(done, (86_400 * 365, 86_400 * 365))
    found = Result("export", {"pairs": 3}, fresh=False, path=done)
    workspace.log_stage("export", {}, found, 0.1)
    assert workspace.logged()["export"]["finished_at"] == "1971-01-01T00:00:00Z"
    workspace.log_stage("export", {}, Result("export", {"pairs": 4}), 0.1)
    before = (tmp_path / "run.json").read_bytes()
    (tmp_path / ".run.json.partial").write_bytes(b"of a killed process")
    workspace.log_stage("export", {}, found, 0.1)  # older than what is logged
    assert (tmp_path / "run.json").read_bytes() == before and not (tmp_path / ".run.json.partial").exists()
    os.utime(done, (86_400 * 365 * 100, 86_400 * 365 * 100))
    workspace.log_stage("export", {}, found, 0.1)
    assert workspace.logged()["export"]["record"] == {"pairs": 3}


def test_damaged_log_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    Workspace(tmp_path).log_stage("pairs", {}, Result("pairs", {}), 0.1)
    assert list(json.loads((tmp_path / "run.json").read_text())["stages"]) == ["pairs"]
    assert (tmp_path / "run.damaged.json").read_text() == "{"
