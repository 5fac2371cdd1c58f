"""How commands end: verdict, next command, page."""

import json
from pathlib import Path

import pytest

from miner.artifacts.workspace import Workspace
from miner.commands.ending import show, with_next_command
from miner.engine import Result


def test_verdict_stands_between_result_and_next(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = Result("publish", {}, ["publish: 3 rows"], path=tmp_path / "pub lic/manifest.json", verdict="no author")
    ended = with_next_command(made, Workspace(tmp_path / "lab"))
    show(ended, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["publish: 3 rows", "publish: no author"]
    assert lines[2].startswith(f"publish: next, miner verify '{tmp_path}/pub lic'")
    show(ended, as_json=True)
    assert json.loads(capsys.readouterr().out)["verdict"] == "no author"
