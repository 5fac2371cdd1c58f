import json
from pathlib import Path

import fsspec
import pytest

from miner.errors import MinerError, UsageError
from miner.export.options import ExportOptions
from miner.export.run import export
from tests.export.folders import digests


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    yield files
    for name in ("/exported", "/other"):
        if files.exists(name):
            files.rm(name, recursive=True)


def in_memory(files, root: str = "/exported") -> dict[str, bytes]:
    return {path.removeprefix(f"{root}/"): files.cat_file(path) for path in files.find(root)}


def test_url_folder_and_workspace_get_the_same_bytes(workspace, tmp_path, memory) -> None:
    export(ExportOptions(), workspace)
    expected = {path.name: path.read_bytes() for path in workspace.shards.iterdir()}
    for to in ("memory://exported", f"file://{tmp_path}/one", str(tmp_path / "two")):
        result = export(ExportOptions(to=to), workspace)
        assert result.fresh and not export(ExportOptions(to=to), workspace).fresh
    assert in_memory(memory) == expected
    assert {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()} == expected
    assert digests(tmp_path / "one") == digests(tmp_path / "two") == digests(workspace.shards)


def test_interrupted_upload_goes_on_where_it_stopped(workspace, memory, monkeypatch) -> None:
    options = ExportOptions(to="memory://exported", shard_count=4)
    export(options, workspace)
    expected = in_memory(memory)
    memory.rm("/exported", recursive=True)

    class GoneError(Exception):
        pass

    put_file, uploads = type(memory).put_file, []

    def failing(self, local: str, remote: str, **more) -> None:
        uploads.append(remote)
        if len(uploads) == 6:
            raise GoneError("connection lost")
        put_file(self, local, remote, **more)

    monkeypatch.setattr(type(memory), "put_file", failing)
    with pytest.raises(MinerError, match=r"could not be written .*connection lost.*the same command continues"):
        export(options, workspace)
    half = in_memory(memory)
    assert "manifest.json" not in half and "request.json" in half
    assert all(expected[name] == data for name, data in half.items() if name.endswith(".tar"))
    uploads.clear()
    monkeypatch.setattr(
        type(memory), "put_file", lambda self, *rest, **more: (uploads.append(rest[1]), put_file(self, *rest, **more))
    )
    export(options, workspace)
    assert in_memory(memory) == expected
    assert not {path.rpartition("/")[2] for path in uploads} & {name for name in half if name.endswith(".tar")}


def test_upload_that_arrives_short_is_noticed(workspace, memory, monkeypatch) -> None:
    def short(self, local: str, remote: str, **more) -> None:
        self.pipe_file(remote, Path(local).read_bytes()[:-1])

    monkeypatch.setattr(type(memory), "put_file", short)
    with pytest.raises(MinerError, match="another size"):
        export(ExportOptions(to="memory://exported"), workspace)


@pytest.mark.parametrize("remote", [True, False])
def test_force_removes_what_an_export_wrote_and_nothing_else(workspace, tmp_path, memory, remote: bool) -> None:
    to = "memory://exported" if remote else str(tmp_path / "out")

    def put(name: str) -> None:
        if remote:
            memory.pipe_file(f"/exported/{name}", b"mine")
        else:
            (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "out" / name).write_bytes(b"mine")

    def names() -> set[str]:
        return set(in_memory(memory) if remote else digests(tmp_path / "out"))

    for name in ("thesis.tex", "data/images-000000.tar", "parts/list.txt"):
        put(name)
    export(ExportOptions(to=to, shard_count=2), workspace)
    with pytest.raises(MinerError, match="--force"):
        export(ExportOptions(to=to), workspace)
    export(ExportOptions(to=to), workspace, force=True)
    assert names() == {
        *("thesis.tex", "data/images-000000.tar", "parts/list.txt"),
        *("manifest.json", "images.parquet", "pairs.parquet", "index.json", "index-images.json"),
        *("images-000000.tar", "pairs-000000.tar"),
    }


def test_targets_that_cannot_work_are_refused_before_work(workspace) -> None:
    with pytest.raises(UsageError, match="one process"):
        export(ExportOptions(to="memory://exported", workers=2), workspace)
    with pytest.raises(UsageError, match="cannot be opened"):
        export(ExportOptions(to="nonsense://exported"), workspace)


def test_manifest_of_an_upload_holds_the_digests(workspace, memory) -> None:
    import hashlib

    export(ExportOptions(to="memory://exported"), workspace)
    content = in_memory(memory)
    manifest = json.loads(content["manifest.json"])
    assert set(manifest["files"]) == set(content) - {"manifest.json"}
    for name, record in manifest["files"].items():
        assert record["sha256"] == hashlib.sha256(content[name]).hexdigest()
