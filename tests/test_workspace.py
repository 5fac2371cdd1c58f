import json
from pathlib import Path

import pytest

from miner.artifacts.stage import Stage, finished_file
from miner.artifacts.workspace import Workspace
from miner.engine import write_json
from miner.engine.records import read_json
from miner.engine.result import Result
from miner.errors import MinerError
from miner.machine.environment import environment


def test_stage_from_begin_to_finish(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "s", {"low": 0.5, "many": (1, 2)})
    assert stage.finished() is None
    stage.begin(force=False)
    (tmp_path / "s" / "data.bin").write_bytes(b"1234")
    manifest = stage.finish({"count": 4}, [tmp_path / "s" / "data.bin"])
    assert manifest["count"] == 4 and manifest["files"]["data.bin"]["bytes"] == 4
    assert Stage(tmp_path / "s", {"low": 0.5, "many": [1, 2]}).finished() == manifest
    assert Stage(tmp_path / "s", {"low": 0.6, "many": [1, 2]}).finished() is None


def test_unfinished_work_of_another_request_is_not_thrown_away(tmp_path: Path) -> None:
    Stage(tmp_path, {"encoder": "a"}).begin(force=False)
    Stage(tmp_path, {"encoder": "b"}).begin(force=False)  # nothing had been done yet
    (tmp_path / "part").write_bytes(b"hours of work")
    with pytest.raises(MinerError, match="encoder was 'b' and is now 'c'"):
        Stage(tmp_path, {"encoder": "c"}).begin(force=False)
    assert (tmp_path / "part").exists()
    Stage(tmp_path, {"encoder": "c"}).begin(force=True)
    assert not (tmp_path / "part").exists()


def test_forced_stage_that_is_interrupted_remembers_its_request(tmp_path: Path) -> None:
    first = Stage(tmp_path, {"n": 1})
    first.begin(force=False)
    (tmp_path / "data").write_bytes(b"1")
    first.finish({}, [tmp_path / "data"])
    Stage(tmp_path, {"n": 2}).begin(force=True)
    (tmp_path / "part").write_bytes(b"of request 2")
    with pytest.raises(MinerError, match="n was 2 and is now 1"):
        Stage(tmp_path, {"n": 1}).begin(force=False)


def test_damaged_manifest_is_explained(tmp_path: Path) -> None:
    for text in ("{", "[1]", "\x00"):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(MinerError, match="damaged"):
            read_json(tmp_path / "manifest.json")


def test_missing_and_unfinished_stages_say_what_to_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(MinerError, match=r"pairs is missing. Run `miner pairs` first"):
        workspace.manifest(workspace.pairs)
    Stage(workspace.pairs, {}).begin(force=False)
    with pytest.raises(MinerError, match="has not finished"):
        workspace.manifest(workspace.pairs)


def test_refused_command_leaves_no_new_folder_and_keeps_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("new", "old"):
        with pytest.raises(MinerError, match="is missing"), Workspace(tmp_path / name).locked():
            Workspace(tmp_path / name).manifest(tmp_path / name / "pairs")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_single_file_result(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    assert finished_file(path, {"k": 1}, force=False) is None
    write_json(path, {"request": {"k": 1}, "answer": 42})
    assert finished_file(path, {"k": 1}, force=False)["answer"] == 42
    with pytest.raises(MinerError, match="k was 1 and is now 2"):
        finished_file(path, {"k": 2}, force=False)
    assert finished_file(path, {"k": 2}, force=True) is None


def test_log_keeps_every_stage(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.log_stage("embed", {"a": 1}, Result("embed", {"count": 3}), 1.5)
    workspace.log_stage("pairs", {}, Result("pairs", {}), 0.1)
    stages = json.loads((tmp_path / "run.json").read_text())["stages"]
    assert sorted(stages) == ["embed", "pairs"]
    assert stages["embed"]["seconds"] == 1.5 and stages["embed"]["environment"]["python"]


def test_files_of_unknown_origin_are_not_taken_for_finished_work(tmp_path: Path) -> None:
    (tmp_path / "images-000000.tar").write_bytes(b"from somewhere")
    with pytest.raises(MinerError, match="not what they were made for"):
        Stage(tmp_path, {"n": 1}).begin(force=False)
    Stage(tmp_path, {"n": 1}).begin(force=True)
    assert not (tmp_path / "images-000000.tar").exists()


def test_damaged_log_is_set_aside_and_does_not_cost_a_result(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    Workspace(tmp_path).log_stage("pairs", {}, Result("pairs", {}), 0.1)
    assert list(json.loads((tmp_path / "run.json").read_text())["stages"]) == ["pairs"]
    assert (tmp_path / "run.damaged.json").read_text() == "{"


def test_environment_does_without_git(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert environment()["git_commit"] is None


def test_manifest_without_its_parts_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "manifest.json").write_text("{}")
    with pytest.raises(MinerError, match="damaged"):
        Workspace(tmp_path).manifest(tmp_path / "pairs")
