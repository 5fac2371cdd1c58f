"""The life of a stage's folder."""

from pathlib import Path

import pytest

from miner.artifacts.stage_folder import GrowingStage, Stage, finished_file
from miner.engine import write_json, write_signed
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
    (tmp_path / "images-holiday.tar").write_bytes(b"of the user")
    Stage(tmp_path, {"encoder": "c"}, scratch=["part"]).begin(force=True)
    assert not (tmp_path / "part").exists() and (tmp_path / "images-holiday.tar").exists()


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
    assert (tmp_path / "images-000000.tar").exists()


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_force_removes_what_the_stage_wrote_and_nothing_else(tmp_path: Path) -> None:
    mine = {"images-holiday.tar", "parts/images-mine.tar", "b/part-1.tmp", "parts/deep/part-1.tmp"}
    write(tmp_path, "listed.bin", "a/table-1.csv", "parts/part-1.tmp", "a/.table-2.csv.partial", *mine)
    stage = Stage(tmp_path, {"n": 1}, ["a/table-*.csv"], ["parts/part-*.tmp"])
    stage.finish({}, [tmp_path / "listed.bin"])
    assert names(tmp_path) == {"manifest.json", "listed.bin", "a/table-1.csv", "a/.table-2.csv.partial", *mine}
    stage.begin(force=True)
    assert names(tmp_path) == {"request.json", *mine} and not (tmp_path / "a").exists()


def test_a_manifest_of_others_lists_nothing_of_a_stage(tmp_path: Path) -> None:
    write(tmp_path, "photo.jpg")
    write_json(tmp_path / "manifest.json", {"name": "a web page", "files": {"photo.jpg": {}}})
    Stage(tmp_path, {"n": 1}).begin(force=True)
    assert names(tmp_path) == {"request.json", "photo.jpg"}


def test_a_finished_stage_sweeps_what_a_killed_one_left(tmp_path: Path) -> None:
    stage = GrowingStage(tmp_path, {"n": 1}, ["data"], ["parts/part-*.tmp", "kept.pt"])
    write(tmp_path, "data", "kept.pt", "notes.txt")
    write_signed(tmp_path / "state.json", {"files": {"kept.pt": {}}})
    manifest = stage.finish({}, [tmp_path / "data"])
    whole = names(tmp_path)
    assert whole == {"manifest.json", "state.json", "data", "kept.pt", "notes.txt"}
    write(tmp_path, "parts/part-1.tmp", "request.json", "previous.json", ".request.json.partial")
    assert stage.finished() == manifest
    assert names(tmp_path) == whole and not (tmp_path / "parts").exists()
