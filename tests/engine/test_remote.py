from pathlib import Path

import fsspec
import pytest

from miner.engine import committed
from miner.engine.remote import RemotePath, explained, file_system, local_or_remote, one_line
from miner.errors import MinerError, UsageError


def test_object_stores_show_whole_files_only() -> None:
    assert RemotePath("s3://bucket/name").shows_only_whole_files
    assert not RemotePath("simplecache::file:///tmp/x").shows_only_whole_files


def test_other_stores_get_partial_files_that_are_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`local` is the local file system under a name that is no object store: half a file would be seen under its own name."""
    source = tmp_path / "source.bin"
    source.write_bytes(b"content")
    seen = []
    local = fsspec.get_filesystem_class("file")
    put_file = local.put_file

    def watched(self, one: str, other: str, **more) -> None:
        put_file(self, one, other, **more)
        seen.append(sorted(path.name for path in (tmp_path / "folder").iterdir()))

    monkeypatch.setattr(local, "put_file", watched)
    RemotePath(f"local://{tmp_path}/folder/file.bin").receive(source)
    assert seen == [[".file.bin.partial"]]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file.bin"]


def test_files_are_written_listed_read_and_removed() -> None:
    folder = RemotePath("memory://remote")
    assert folder.names() == []
    for name in ("b", "a/c"):
        with committed(folder / name) as partial:
            partial.write_bytes(name.encode())
    assert folder.names() == ["a/c", "b"]
    assert (folder / "a/c").read_bytes() == b"a/c"
    for name in folder.names():
        (folder / name).unlink()
    assert not (folder / "b").exists()
    (folder / "b").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (folder / "b").read_bytes()
    with pytest.raises(FileNotFoundError):
        (folder / "b").unlink()


def test_failed_write_uploads_nothing() -> None:
    path = RemotePath("memory://remote/failed")
    with pytest.raises(ValueError, match="broken"), committed(path) as partial:
        partial.write_bytes(b"half")
        raise ValueError("broken")
    assert not path.exists()


def test_error_of_a_store_names_url_and_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*arguments: object, **options: object) -> None:
        raise RuntimeError("connection lost")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "exists", gone)
    with pytest.raises(MinerError, match=r"memory://remote/x could not be reached \(RuntimeError: connection lost\)"):
        RemotePath("memory://remote/x").exists()


def test_paths_and_file_urls_are_local(tmp_path: Path) -> None:
    assert local_or_remote(str(tmp_path)) == local_or_remote(f"file://{tmp_path}") == tmp_path
    assert local_or_remote("memory://bucket/name/") == RemotePath("memory://bucket/name")
    with pytest.raises(UsageError, match="cannot be opened"):
        local_or_remote("nonsense://x")


def in_words(error: Exception) -> MinerError:
    return MinerError(f"told: {one_line(error, 10)}")


def test_any_exception_becomes_the_error_for_people() -> None:
    with pytest.raises(MinerError, match=r"^told: RuntimeError: many words$") as caught, explained(in_words):
        raise RuntimeError("many\n words, cut")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_errors_for_people_and_named_kinds_pass() -> None:
    with pytest.raises(UsageError, match=r"^mine$"), explained(in_words):
        raise UsageError("mine")
    with pytest.raises(FileNotFoundError, match=r"^gone$"), explained(in_words, OSError):
        raise FileNotFoundError("gone")


def test_exception_that_explains_itself_passes_unchanged() -> None:
    with pytest.raises(KeyError) as caught, explained(lambda error: error):
        raise KeyError("x")
    assert caught.value.__cause__ is None


def test_relative_paths_follow_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert file_system("photos")[1] == str(tmp_path / name / "photos")
    assert file_system("memory://a")[0] is file_system("memory://a")[0]
