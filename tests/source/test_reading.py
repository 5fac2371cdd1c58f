"""Bytes out of the middle of files, by many threads at once."""

import gzip
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from miner.source.reading import read_range
from miner.source.webdataset.samples import unpacked


@pytest.fixture
def impatient_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient_threads")
def test_threads_that_share_open_files_read_their_own(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:03}" for number in range(200)]  # more than are kept open
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 64)

    def read(turn: int) -> bool:
        number = turn * 7 % len(paths)
        return read_range(str(paths[number]), 16, 32) == bytes([number]) * 32

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, range(20_000)))


def test_relative_path_follows_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.tar").write_text(name)
        monkeypatch.chdir(tmp_path / name)
        assert read_range("a.tar", 0, 3) == name.encode()


def test_packed_shard_follows_the_current_folder_and_its_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.tar.gz").write_bytes(gzip.compress(name.encode()))
        monkeypatch.chdir(tmp_path / name)
        assert unpacked("a.tar.gz", 100) == name.encode()
    (tmp_path / "two" / "a.tar.gz").write_bytes(gzip.compress(b"new"))
    os.utime("a.tar.gz", ns=(0, 1))
    assert unpacked("a.tar.gz", 100) == b"new"
