"""The same checks behind URLs: a web server on this machine, and a file system in memory."""

import functools
import http.server
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from miner.artifacts.workspace import Workspace
from miner.errors import MinerError, UsageError
from miner.verify.run import verify
from tests.serving import serving


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *values: object) -> None:
        pass


class _WithoutListings(_Quiet):
    def list_directory(self, path: str) -> None:
        self.send_error(403)


@pytest.fixture(params=[_Quiet, _WithoutListings], ids=["listing", "no-listing"])
def web(workspace: Workspace, request: pytest.FixtureRequest) -> Iterator[str]:
    with serving(functools.partial(request.param, directory=str(workspace.root))) as url:
        yield url


def test_a_workspace_behind_a_web_server(web: str, workspace: Workspace, request: pytest.FixtureRequest) -> None:
    result = verify(web)
    expected = {"embeddings", "pairs", "shards", "report"}
    if "[listing]" in request.node.name:
        expected.add("runs/moco")
    else:
        assert "extra files and other stages stay unseen" in " ".join(result.lines)
    assert set(result.record["folders"]) == {f"{web}/{name}" for name in expected}
    assert result.record["checked"][f"{web}/shards"]["images"] == 40
    shard = workspace.shards / "images-000000.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[:700] + bytes([content[700] ^ 1]) + content[701:])
    with pytest.raises(
        MinerError, match=r"http://.*/shards/images-000000.tar is damaged between byte 0 and byte 4,096"
    ):
        verify(f"{web}/shards")
    shard.unlink()
    with pytest.raises(MinerError, match=r"shards/images-000000.tar is missing"):
        verify(web)


def test_shards_in_memory(workspace: Workspace) -> None:
    files = fsspec.filesystem("memory")
    try:
        files.put(f"{workspace.shards}/", "/verified/", recursive=True)
        assert verify("memory://verified").record["checked"]["memory://verified"]["images"] == 40
        files.pipe_file("/verified/extra.bin", b"x")
        with pytest.raises(MinerError, match=r"memory://verified/extra.bin is an extra file"):
            verify("memory://verified")
        files.rm("/verified/extra.bin")
        files.rm("/verified/pairs-000000.tar")
        with pytest.raises(MinerError, match=r"memory://verified/pairs-000000.tar is missing"):
            verify("memory://verified")
    finally:
        files.rm("/verified", recursive=True)


def test_nothing_and_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder that miner finished"):
        verify("memory://nothing-here")
    with pytest.raises(UsageError, match="cannot be opened"):
        verify("nonsense://x")
    with pytest.raises(MinerError):
        verify("http://127.0.0.1:9/x")
