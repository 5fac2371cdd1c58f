import errno
import os
from pathlib import Path

import pytest

from miner.artifacts.workspace import Workspace
from miner.engine.locks import cache_lock, folder_lock
from miner.engine.remote import RemotePath
from miner.errors import MinerError


def test_a_folder_is_for_one_at_a_time_and_holds_no_lock_file(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with folder_lock(folder):
        assert list(folder.iterdir()) == []
        with pytest.raises(MinerError, match="Another miner command is writing"), folder_lock(folder):
            pass
        with folder_lock(tmp_path / "other"), folder_lock(RemotePath("memory://x")):
            (folder / "kept").touch()
    with folder_lock(folder):
        assert [path.name for path in folder.iterdir()] == ["kept"]
    assert not (tmp_path / "other").exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MinerError, match="file cannot be written"), folder_lock(tmp_path / "file"):
        pass


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EBADF, errno.ENOLCK])
def test_a_file_system_without_locks_is_said_once(code, tmp_path: Path, monkeypatch, capsys) -> None:
    def flock(handle: object, kind: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    folder, workspace = tmp_path / "published", Workspace(tmp_path / "workspace")
    for _ in range(2):
        with folder_lock(folder), cache_lock(tmp_path / "cache"), workspace.locked(["pairs"]), workspace.writing():
            pass
    assert workspace.working() == []
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" has no locks ")[0].rpartition("/")[2] for line in said] == ["published", "cache", "workspace"]
    assert all(os.strerror(code) in line and line.endswith("Run one at a time.") for line in said)
