"""Sources behind web servers: honest ones with and without parts of files, and one that never ends."""

import functools
import http.server
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from miner.engine import answers
from miner.errors import MinerError
from miner.source import open_source
from miner.source.reading import read_range
from tests.serving import serving
from tests.source.tars import image_members, png, tar_bytes, write_files


class _Plain(http.server.SimpleHTTPRequestHandler):
    """Sends whole files only."""

    def log_message(self, *values: object) -> None:
        pass


class _Endless(_Plain):
    """Every answer goes on and on; below /parts/ it claims to be the part that was asked for."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.send_response(206 if self.headers["Range"] and self.path.startswith("/parts/") else 200)
        self.send_header("Accept-Ranges", "bytes")
        if not self.headers["Range"] and self.path.endswith(".tar"):
            self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        try:
            for _ in itertools.count() if self.command == "GET" else ():
                self.wfile.write(b"<a href='x'>" * 4096)
        except OSError:
            return


@pytest.fixture
def web(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with serving(functools.partial(request.param, directory=str(tmp_path))) as url:
        yield url


@pytest.mark.parametrize("web", [_Plain], indirect=True)
def test_files_of_a_plain_server_are_read(web: str, tmp_path: Path) -> None:
    write_files(tmp_path, {"a.tar": tar_bytes(image_members(["a", "b"], [0, 1])), "x.png": png(), "y.png": png(1)})
    pictures, shard, same = (open_source(f"{web}/{spec}") for spec in ("{x,y}.png", "*.tar", "a.tar"))
    assert [pictures.read(entry) for entry in pictures.entries] == [png(), png(1)]
    assert shard.entries == same.entries and len(shard.entries) == 2
    with pytest.raises(OSError, match="sends files as a whole only"):
        shard.read(shard.entries[1])


@pytest.mark.parametrize("web", [_Endless], indirect=True)
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("a.tar", "invalid header"),
        ("parts/a.tar", "sends more than the 5,24.,... bytes"),
        ("*.tar", "sends more than the 4,096 bytes"),
        ("a.tgz", "Not a gzipped file"),
        ("a.parquet", "is damaged or no Parquet file"),
    ],
)
def test_an_endless_answer_is_left(web: str, spec: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_LARGEST_PAGE_BYTES", 4096)
    with pytest.raises(MinerError, match=message):
        open_source(f"{web}/{spec}")


@pytest.mark.parametrize("web", [_Endless], indirect=True)
def test_an_endless_image_is_unreadable(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_LARGEST_BYTES", 100_000)
    source = open_source(f"{web}/{{a,b}}.jpg")
    with pytest.raises(OSError, match="sends more than the 100,000 bytes"):
        source.read(source.entries[0])
    assert read_range(f"{web}/a.jpg", 0, 24) == b"<a href='x'>" * 2
    with pytest.raises(OSError, match="sends more than the 24 bytes"):
        read_range(f"{web}/parts/a.jpg", 0, 24)
