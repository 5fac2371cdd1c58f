"""Sources in an object store: `s3://` answered by a dictionary, with what s3fs states of an object."""

import hashlib
import importlib
import io
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec import AbstractFileSystem
from PIL import Image

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError, UsageError
from miner.source import open_source
from tests.source.tars import export_files, png, tar_bytes

KNOWN_FILE_SYSTEMS = importlib.import_module("fsspec.registry")._registry


class FakeS3(AbstractFileSystem):
    """Objects by key. Folders are nothing but beginnings of keys."""

    protocol = "s3"
    root_marker = ""
    cachable = False
    objects: ClassVar[dict[str, bytes]] = {}

    def ls(self, path, detail=True, **options):
        path = self._strip_protocol(path)
        found = {}
        for key, data in self.objects.items():
            if key == path:
                return [self._facts(key, data)]
            if key.startswith(f"{path}/"):
                child, slash, _ = key.removeprefix(f"{path}/").partition("/")
                folder = {"name": f"{path}/{child}", "size": 0, "type": "directory"}
                found[child] = folder if slash else self._facts(key, data)
        if not found:
            raise FileNotFoundError(path)
        return list(found.values())

    def _facts(self, key, data):
        return {"name": key, "size": len(data), "type": "file", "ETag": hashlib.md5(data).hexdigest()}

    def _open(self, path, mode="rb", **options):
        return io.BytesIO(self.objects[path])


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(KNOWN_FILE_SYSTEMS, "s3", FakeS3)
    monkeypatch.setattr(FakeS3, "objects", {})
    return lambda files: FakeS3.objects.update({f"bucket/{key}": data for key, data in files.items()})


def images(*names: str) -> dict[str, bytes]:
    return {name: png(number) for number, name in enumerate(names)}


def test_folder_of_classes_under_any_spelling(put) -> None:
    put(images("photos/cat/0.png", "photos/dog/1.png", "photos/dog/2.png") | {"photos/notes.txt": b"text"})
    sources = [open_source(spec) for spec in ("s3://bucket/photos", "s3://bucket/photos/", "s3://bucket/photos/*")]
    assert {source.spec for source in sources[:2]} == {"s3://bucket/photos"}
    for source in sources:
        assert source.classes == ["cat", "dog"] and [entry.label for entry in source.entries] == [0, 1, 1]
        assert [source.read(entry) for entry in source.entries] == [png(0), png(1), png(2)]
    assert sources[0].left_out.files == {".txt": 1}


def test_splits_are_not_mixed(put) -> None:
    put(images("yolo/images/train/0.png", "yolo/images/val/1.png"))
    with pytest.raises(UsageError, match=r"s3://bucket/yolo/images/train"):
        open_source("s3://bucket/yolo")
    assert len(open_source("s3://bucket/yolo/images/val").entries) == 1


@pytest.mark.parametrize("folder", ["out", "a/b/out"])
def test_an_export_gives_its_images_once(put, folder: str) -> None:
    files = export_files(["k0", "k1", "k2"], [1, 0, 1], ["cat", "dog"])
    put({f"{folder}/{name}": data for name, data in files.items()} | images("other/0.png"))
    for spec in (f"s3://bucket/{folder}", f"s3://bucket/{folder}/*.tar"):
        source = open_source(spec)
        assert [entry.key for entry in source.entries] == ["k0", "k1", "k2"] and source.classes == ["cat", "dog"]


def test_patterns_braces_and_parquet(put) -> None:
    for shard in range(3):
        put({f"shards/{shard}.tar": tar_bytes([(f"{shard}.png", png(shard))])})
    assert len(open_source("s3://bucket/shards/{0..1}.tar").entries) == 2
    assert len(open_source("s3://bucket/shards/*.tar").entries) == 3
    with pytest.raises(MinerError, match=r"no shard s3://bucket/shards/3\.tar"):
        open_source("s3://bucket/shards/{0..3}.tar")
    for split in ("train", "test"):
        stream = io.BytesIO()
        pq.write_table(pa.table({"image": [png(0), png(1)], "label": ["a", "b"]}), stream)
        put({f"tables/data/{split}-00000.parquet": stream.getvalue()})
    source = open_source("s3://bucket/tables")
    assert [entry.path.rpartition("/")[0] for entry in source.entries] == ["train-00000.parquet"] * 2
    assert source.classes == ["a", "b"] and source.read(source.entries[1]) == png(1)


def test_what_is_not_there_is_named(put) -> None:
    for spec in ("s3://bucket/none", "s3://bucket/none.tar", "s3://bucket/none/*.parquet"):
        with pytest.raises(MinerError, match="s3://bucket/none"):
            open_source(spec)


def test_an_object_that_was_replaced_at_the_same_size_is_noticed(put, tmp_path) -> None:
    bitmaps = []
    for number in range(3):
        stream = io.BytesIO()
        Image.new("RGB", (9, 8), (number * 40, 0, 0)).save(stream, "BMP")
        bitmaps.append(stream.getvalue())
        put({f"photos/{number}.bmp": bitmaps[-1]})
    options = EmbedOptions(source="s3://bucket/photos", device="cpu")
    embed(options, Workspace(tmp_path))
    assert not embed(options, Workspace(tmp_path)).fresh
    put({"photos/1.bmp": bitmaps[2]})
    for versions in (True, False):
        if not versions:
            (tmp_path / ".source_versions.parquet").unlink()
        with pytest.raises(MinerError, match=r"1\.bmp of s3://bucket/photos"):
            embed(options, Workspace(tmp_path))
