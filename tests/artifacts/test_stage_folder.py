"""The life of a stage's folder."""

from pathlib import Path

import pytest

from miner.artifacts.stage_folder import Stage, finished_file
from miner.engine import write_json
from miner.errors import MinerError


def test_stage_from_begin_to_finish(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "s", {"low": 0.5, "many": (1, 2)})
    assert stage.finished() is None
    stage.begin(force=False)
    (tmp_path / "s" / "data.bin").write_bytes(b"1234")
    manifest = stage.finish({"count": 4}, [tmp_path / "s" / "data.bin"])
    assert manifest["count"] == 4 and manifest["files"]["data.bin"]["bytes"] == 4
    assert Stage(tmp_path / "s", {"low": 0.5, "many": [1, 2]}).finished() == manifest
    assert Stage(tmp_path / "s", {"low": 0.6, "many": [1, 2]}).finished() is None


def test_unfinished_work_of_another_request_is_kept(tmp_path: Path) -> None:
    Stage(tmp_path, {"encoder": "a"}).begin(force=False)
    Stage(tmp_path, {"encoder": "b"}).begin(force=False)  # nothing had been done yet
    (tmp_path / "part").write_bytes(b"hours of work")
    with pytest.raises(MinerError, match="--encoder was b and is now c"):
        Stage(tmp_path, {"encoder": "c"}).begin(force=False)
    assert (tmp_path / "part").exists()
    Stage(tmp_path, {"encoder": "c"}).begin(force=True)
    assert not (tmp_path / "part").exists()


def test_interrupted_forced_stage_remembers_its_request(tmp_path: Path) -> None:
    first = Stage(tmp_path, {"n": 1})
    first.begin(force=False)
    (tmp_path / "data").write_bytes(b"1")
    first.finish({}, [tmp_path / "data"])
    Stage(tmp_path, {"n": 2}).begin(force=True)
    (tmp_path / "part").write_bytes(b"of request 2")
    with pytest.raises(MinerError, match="n was 2 and is now 1"):
        Stage(tmp_path, {"n": 1}).begin(force=False)


def test_single_file_result(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    assert finished_file(path, {"k": 1}, force=False) is None
    write_json(path, {"request": {"k": 1}, "answer": 42})
    assert finished_file(path, {"k": 1}, force=False)["answer"] == 42
    with pytest.raises(MinerError, match="k was 1 and is now 2"):
        finished_file(path, {"k": 2}, force=False)
    assert finished_file(path, {"k": 2}, force=True) is None


def test_files_of_unknown_origin_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images-000000.tar").write_bytes(b"from somewhere")
    with pytest.raises(MinerError, match="not what they were made for"):
        Stage(tmp_path, {"n": 1}).begin(force=False)
    Stage(tmp_path, {"n": 1}).begin(force=True)
    assert not (tmp_path / "images-000000.tar").exists()
