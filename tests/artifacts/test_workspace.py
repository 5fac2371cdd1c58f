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


def test_log_keeps_every_stage(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.log_stage("embed", {"a": 1}, Result("embed", {"count": 3}), 1.5)
    workspace.log_stage("pairs", {}, Result("pairs", {}), 0.1)
    stages = json.loads((tmp_path / "run.json").read_text())["stages"]
    assert sorted(stages) == ["embed", "pairs"]
    assert stages["embed"]["seconds"] == 1.5 and stages["embed"]["environment"]["python"]


def test_damaged_log_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    Workspace(tmp_path).log_stage("pairs", {}, Result("pairs", {}), 0.1)
    assert list(json.loads((tmp_path / "run.json").read_text())["stages"]) == ["pairs"]
    assert (tmp_path / "run.damaged.json").read_text() == "{"
