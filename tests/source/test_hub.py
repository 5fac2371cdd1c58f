"""Repositories of the Hugging Face Hub, on a file system in memory that answers to the name hf."""

import importlib
import io
import sys
from collections.abc import Iterator

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from miner.engine.tar import write_tar
from miner.errors import MinerError, UsageError
from miner.source import open_source
from tests.source.tars import export_files

KNOWN_FILE_SYSTEMS = importlib.import_module("fsspec.registry")._registry
REPOSITORY = "hf://datasets/someone/clothes"


class FakeHub(MemoryFileSystem):
    """As the file system of huggingface_hub does, it finds nothing below a folder that is not there."""

    protocol = "hf"
    store: dict = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    fault: Exception | None = None

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        path = path.removeprefix("hf://").strip("/")
        return f"/{path}" if path else ""

    def find(self, path, maxdepth=None, withdirs=False, **options):
        if self.fault:
            raise self.fault
        return super().find(path, maxdepth, withdirs, **options)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeHub]]:
    monkeypatch.setitem(KNOWN_FILE_SYSTEMS, "hf", FakeHub)
    yield FakeHub
    FakeHub.store.clear()
    FakeHub.pseudo_dirs[:] = [""]
    FakeHub.fault = None


def put(files: dict[str, bytes]) -> None:
    fsspec.filesystem("hf").pipe({f"{REPOSITORY}/{path}": data for path, data in files.items()})


def parquet(*images: bytes) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": pa.array(images, pa.binary())}), stream)
    return stream.getvalue()


def tar(*images: bytes) -> bytes:
    stream = io.BytesIO()
    write_tar(stream, [(f"{image.decode()}.jpg", image) for image in images])
    return stream.getvalue()


def contents(spec: str) -> list[bytes]:
    source = open_source(spec)
    return [source.read(entry) for entry in source.entries]


def test_parquet_of_the_train_split(hub, capfd: pytest.CaptureFixture[str]) -> None:
    put(
        {
            "README.md": b"# clothes",
            ".gitattributes": b"*",
            "assets/banner.png": b"x",
            "data/train-00000-of-00002.parquet": parquet(b"a", b"b"),
            "data/train-00001-of-00002.parquet": parquet(b"c"),
            "data/test-00000-of-00001.parquet": parquet(b"t"),
        }
    )
    assert contents(REPOSITORY) == [b"a", b"b", b"c"]
    assert f"{REPOSITORY}/data/test-*.parquet" in capfd.readouterr().err
    assert contents(f"{REPOSITORY}/data/test-*.parquet") == [b"t"]
    assert contents(f"{REPOSITORY}/data/train-*") == [b"a", b"b", b"c"]
    assert contents(f"{REPOSITORY}/data/train-00001-of-00002.parquet") == [b"c"]


def test_shards(hub) -> None:
    put({"README.md": b"#", "logo.png": b"x", "shards/a-0.tar": tar(b"1", b"2"), "shards/a-1.tar": tar(b"3")})
    assert contents(REPOSITORY) == [b"1", b"2", b"3"]
    assert contents(f"{REPOSITORY}/shards/a-{{0..1}}.tar") == [b"1", b"2", b"3"]


def test_folder_of_images(hub) -> None:
    put({"train/cat/1.jpg": b"c" * 9, "train/dog/2.jpg": b"d" * 9, "test/cat/3.jpg": b"t" * 9})
    source = open_source(f"{REPOSITORY}/train")
    assert (source.classes, contents(f"{REPOSITORY}/train")) == (["cat", "dog"], [b"c" * 9, b"d" * 9])
    with pytest.raises(UsageError, match=f"{REPOSITORY}/train"):
        open_source(REPOSITORY)


def test_unreachable_hub_says_how_to_go_without_it(hub) -> None:
    hub.fault = RuntimeError("Name or service\nnot known")
    with pytest.raises(MinerError, match=r"huggingface\.co.*hf download --repo-type dataset someone/clothes") as caught:
        open_source(REPOSITORY)
    assert "\n" not in str(caught.value)


def test_repository_that_is_not_there(hub) -> None:
    with pytest.raises(MinerError, match="no hf://datasets/someone/clothes on the Hugging Face Hub"):
        open_source(REPOSITORY)


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delitem(KNOWN_FILE_SYSTEMS, "hf", raising=False)
    with pytest.raises(MinerError, match=r"pip install -e '\.\[hub\]'"):
        open_source(REPOSITORY)


def test_a_published_repository_gives_its_images(hub) -> None:
    files = export_files(["k", "m"], [1, 0], ["bag", "shoe"])
    put({"README.md": b"#", "croissant.json": b"{}", **{f"data/{name}": data for name, data in files.items()}})
    for spec in (REPOSITORY, f"{REPOSITORY}/", f"{REPOSITORY}/data/*.tar"):
        source = open_source(spec)
        assert [(entry.key, entry.label) for entry in source.entries] == [("k", 1), ("m", 0)]
        assert source.classes == ["bag", "shoe"]
    assert open_source(f"{REPOSITORY}/").spec == REPOSITORY


def test_a_folder_of_the_hub_called_like_a_file_is_a_folder(hub) -> None:
    put({"table.parquet/part-0.parquet": parquet(b"a", b"b"), "table.parquet/_SUCCESS": b""})
    assert contents(f"{REPOSITORY}/table.parquet") == [b"a", b"b"]
