"""What `verify` is told by files and servers that want to mislead it."""

import http.server
import itertools
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.artifacts.workspace import Workspace
from miner.engine.records import write_signed
from miner.verify import location
from tests.embed.bombs import page, with_pages
from tests.serving import serving
from tests.verify.edits import rejects, resign


@pytest.mark.parametrize("content", ["{}", '{"stage": "export"}', "[]", "null"])
def test_a_request_at_the_root_hides_nothing(content: str, workspace: Workspace) -> None:
    (workspace.root / "request.json").write_text(content)
    rejects(workspace.root, "request.json is an extra file")
    calibration = json.loads(workspace.calibration.read_text())
    workspace.calibration.write_text(json.dumps({**calibration, "images": 3}))
    rejects(workspace.root, "calibration.json is damaged or was edited")


@pytest.mark.parametrize("folder", ["embeddings/img_emb", "shards", "report/more"])
def test_a_request_inside_a_stage_hides_nothing(folder: str, workspace: Workspace) -> None:
    place = workspace.root / folder
    place.mkdir(exist_ok=True)
    (place / "request.json").write_text('{"source": "x"}')
    (place / "evil.bin").write_bytes(b"x")
    rejects(workspace.root, "(evil.bin|request.json) is an extra file")


def test_a_lock_in_a_repository_is_an_extra_file(workspace: Workspace) -> None:
    (workspace.shards / ".lock").write_bytes(b"x")
    rejects(workspace.shards, r"\.lock is an extra file")


ABSURD: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "no samples": lambda record: {**record, "samples": None},
    "samples of text": lambda record: {**record, "samples": dict.fromkeys(record["samples"], "7")},
    "a list of samples": lambda record: {**record, "samples": [1]},
    "another shard": lambda record: {**record, "samples": {"../../etc/passwd": 1}},
    "sets of lists": lambda record: {**record, "sets": [[]]},
    "a request of text": lambda record: {**record, "request": "x"},
    "a long number": lambda record: {**record, "pairs": int("9" * 4000)},
    "a number of bytes without end": lambda record: {
        **record,
        "files": {name: {**file, "bytes": 10**40} for name, file in record["files"].items()},
    },
    "files of numbers": lambda record: {**record, "files": dict.fromkeys(record["files"], 7)},
    "a name with a null": lambda record: {**record, "files": {"a\0b": next(iter(record["files"].values()))}},
    "a file above": lambda record: {**record, "files": {"../x": next(iter(record["files"].values()))}},
    "deep": lambda record: {**record, "sets": json.loads("[" * 900 + "]" * 900)},
}


@pytest.mark.parametrize("name", ABSURD)
def test_an_absurd_manifest_of_shards_is_damaged(name: str, workspace: Workspace) -> None:
    path = workspace.shards / "manifest.json"
    write_signed(path, ABSURD[name](json.loads(path.read_bytes())))
    rejects(workspace.shards, "damaged|outside its folder|cut short|no checksum|where the manifest says|is missing")


@pytest.mark.parametrize("blocks", [-1, None, "3", 10**30, 2.5, [1]])
def test_an_absurd_number_of_blocks_is_damage(blocks: object, workspace: Workspace) -> None:
    path = workspace.embeddings / "manifest.json"
    write_signed(path, {**json.loads(path.read_bytes()), "blocks": blocks})
    rejects(workspace.embeddings, "damaged|is missing|no readable|where the manifest says")


@pytest.mark.parametrize(
    ("key", "value"), [("neighbors", 0), ("neighbors", "3"), ("band", None), ("band", {"min": "x"})]
)
def test_an_absurd_request_of_pairs_is_damage(key: str, value: object, workspace: Workspace) -> None:
    path = workspace.pairs / "manifest.json"
    record = json.loads(path.read_bytes())
    write_signed(path, {**record, "request": {**record["request"], key: value}})
    rejects(workspace.pairs, "damaged|no table of")


def test_a_table_that_repeats_a_long_key_is_refused(workspace: Workspace) -> None:
    table = pq.read_table(workspace.pairs / "pairs.parquet")
    keys = pa.DictionaryArray.from_arrays(pa.array([0] * len(table), pa.int32()), pa.array(["k" * 2000]))
    number = table.column_names.index("key_a")
    pq.write_table(table.set_column(number, "key_a", keys), workspace.pairs / "pairs.parquet")
    resign(workspace.pairs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("miner.verify.reading.free_bytes", lambda: 2 * len(table) * 1500)
        rejects(workspace.pairs, "column key_a unpacks to more than the free memory")


def test_a_table_with_pages_beyond_its_footer_is_refused(workspace: Workspace) -> None:
    path = workspace.pairs / "pairs.parquet"
    table = pq.read_table(path)
    pq.write_table(table, path, use_dictionary=False)
    with_pages(path, table.column_names.index("key_a"), page(1 << 40, b"", len(table)))
    resign(workspace.pairs)
    rejects(workspace.pairs, "it unpacks to 1,099,511,")


class _Evil(http.server.BaseHTTPRequestHandler):
    """Answers by path: an endless file, endless folders, endless redirects, or bytes that come one at a time."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        if kind == "turns":
            self.send_response(302)
            self.send_header("Location", f"/turns/{self.path.count('x') * 'x'}x")
            self.end_headers()
            return
        if kind == "folders" and not self.path.endswith("/"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        try:
            for _ in itertools.count() if self.command == "GET" and kind in ("endless", "slow") else ():
                self.wfile.write(b" " * 65_536 if kind == "endless" else b" ")
                if kind == "slow":
                    threading.Event().wait(0.05)
        except OSError:
            return
        if kind == "folders":
            self.wfile.write(b"".join(b'<a href="%d/">x</a>' % number for number in range(3)))

    def log_message(self, *values: object) -> None:
        pass


@pytest.fixture
def evil() -> Iterator[str]:
    with serving(_Evil) as url:
        yield url


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("endless", "is damaged: it is no JSON .too large"),
        ("folders", "lists more folders than verify follows"),
        ("slow", "only .* bytes came in"),
        ("turns", "cannot be read|holds no folder"),
    ],
)
def test_a_server_without_end_is_left(kind: str, message: str, evil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(location, "_LARGEST_RECORD_BYTES", 1 << 20)
    monkeypatch.setattr(location, "_MOST_FOLDERS", 20)
    monkeypatch.setattr("miner.engine.records._MOST_BYTES", 1 << 20)
    rejects(f"{evil}/{kind}", message)  # type: ignore[arg-type]


def test_more_bytes_than_stated_are_not_fetched(workspace: Workspace, tmp_path: Path) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.put(f"{workspace.shards}/", "/longer/", recursive=True)
    try:
        name = next(path.name for path in workspace.shards.glob("images-*.tar"))
        files.pipe_file(f"/longer/{name}", files.cat_file(f"/longer/{name}") + bytes(5_000_000))
        size = (workspace.shards / name).stat().st_size
        place = location.Location("memory://longer", tmp_path)
        assert place.fetch(name, size).stat().st_size == size + 1
        rejects("memory://longer", f"{name} goes on after byte {size:,}")  # type: ignore[arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
            rejects("memory://longer", "Set TMPDIR")  # type: ignore[arg-type]
    finally:
        files.rm("/longer", recursive=True)
