import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from miner.engine import cannot_write, committed, explain_write_error, write_json
from miner.errors import MinerError


def test_file_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.bin"
    with committed(target) as partial:
        partial.write_bytes(b"half")
        assert not target.exists()
    assert target.read_bytes() == b"half"
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="broken"), committed(target) as partial:
        partial.write_bytes(b"new, but")
        raise ValueError("broken")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_full_disk_is_explained(tmp_path: Path) -> None:
    with pytest.raises(MinerError, match="disk is full") as caught, committed(tmp_path / "file.bin") as partial:
        partial.write_bytes(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "run the same command again" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("2048 requested and 1024 written"), RuntimeError("unexpected pos 8 vs 4")])
def test_full_disk_behind_another_error_is_explained(tmp_path: Path, monkeypatch, error: Exception) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(MinerError, match="disk is full"), committed(tmp_path / "file.bin"):
        raise error
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 30))
    with pytest.raises(type(error), match=str(error)), committed(tmp_path / "file.bin"):
        raise error


def test_json_is_the_same_whatever_the_order_of_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "one.json", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "two.json", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert json.loads((tmp_path / "one.json").read_text()) == {"a": [1.5, None], "b": 1}


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "bad.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_for_a_file_without_a_path() -> None:
    assert isinstance(explain_write_error(OSError(errno.ENOSPC, "no space"), Path()), MinerError)


@pytest.mark.parametrize(
    ("number", "says"), [(errno.ENOSPC, "The disk is full"), (errno.EACCES, "Permission denied. Take X")]
)
def test_folder_that_cannot_be_made_is_explained(tmp_path, number, says) -> None:
    error = OSError(number, os.strerror(number))
    assert says in str(cannot_write("The folder", tmp_path / "x", error, "Take X"))
