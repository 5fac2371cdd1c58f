"""Which run is evaluated."""

import os
from pathlib import Path

import pytest

from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.evaluate.run import find_run


def test_the_latest_finished_run_is_taken(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(MinerError, match="miner train"):
        find_run(workspace, None)
    for number, name in enumerate(("b", "a", "unfinished")):
        folder = workspace.run(name)
        folder.mkdir(parents=True)
        if name != "unfinished":
            (folder / "manifest.json").write_text("{}")
            os.utime(folder / "manifest.json", ns=(number, number))
    assert find_run(workspace, None).name == "a"
    assert find_run(workspace, "b").name == "b"
    with pytest.raises(MinerError, match=r"no finished run 'unfinished'.*finished: a, b"):
        find_run(workspace, "unfinished")
