"""How commands end: verdict, next command, page."""

import json
from pathlib import Path

import numpy as np
import pytest

from miner.artifacts.workspace import Workspace
from miner.commands.app import app
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


def test_vectors_alone_never_lead_to_a_refusal(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32))
    for command in ("embed --vectors v.npy", "pairs --rule mutual --max 1", "report"):
        app(command.split(), standalone_mode=False)
    said = capsys.readouterr().out
    assert "embed: every row has a vector" in said and "how many pairs are right is not known" in said
    assert said.splitlines()[-1].startswith(f"report: next, miner embed SOURCE --vectors {tmp_path}/v.npy --force")
