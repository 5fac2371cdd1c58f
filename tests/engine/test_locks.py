from pathlib import Path

import pytest

from miner.engine.locks import folder_lock
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
