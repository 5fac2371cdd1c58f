import hashlib
import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.server.images import ImageStore, for_browsers


def encoded(kind: str, side: int = 40, mode: str = "RGB", **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(("kind", "media"), [("JPEG", "image/jpeg"), ("PNG", "image/png")])
def test_what_browsers_know_is_shown_as_it_is(kind: str, media: str) -> None:
    data = encoded(kind)
    assert for_browsers(data) == (data, media)


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "PPM", "GIF", "WEBP"])
def test_other_formats_are_converted_without_loss(kind: str) -> None:
    data = encoded(kind, **({"lossless": True} if kind == "WEBP" else {}))
    shown, media = for_browsers(data)
    assert media == "image/png"
    assert Image.open(io.BytesIO(shown)).tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def test_a_huge_image_is_made_smaller() -> None:
    data = encoded("PNG", side=2600)
    assert len(data) > 10_000_000
    shown, media = for_browsers(data)
    assert media == "image/jpeg" and len(shown) < 4_500_000
    assert Image.open(io.BytesIO(shown)).size == (2048, 2048)


def test_images_of_a_page_with_many_are_small(tmp_path) -> None:
    files = {"large.jpg": encoded("JPEG", side=700), "small.jpg": encoded("JPEG")}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    keys = {entry.path: entry.key for entry in SourceRecord(spec=str(tmp_path)).open().entries}
    sums = [hashlib.sha256(data).hexdigest() for data in files.values()]
    images = pa.table({"key": [keys[name] for name in files], "path": [*files], "sha256": sums})
    opened = ImageStore(Workspace(tmp_path / "w"), SourceRecord(spec=str(tmp_path)), images, small=True)
    assert Image.open(io.BytesIO(opened.read(0)[0])).size == (512, 512) and len(files["large.jpg"]) > 150_000
    assert opened.read(1)[0] == files["small.jpg"]


def test_what_is_no_image_is_not_served() -> None:
    with pytest.raises(FileNotFoundError):
        for_browsers(b"<svg onload=alert(1)>")


@pytest.fixture
def photos(make_photos, tmp_path) -> tuple[Path, Workspace]:
    folder, workspace = make_photos(count=10), Workspace(tmp_path / "w")
    embed(EmbedOptions(source=str(folder)), workspace)
    pairs(PairsOptions(min=0.1, max=0.999), workspace)
    return folder, workspace


def store(workspace: Workspace, folder: Path) -> tuple[ImageStore, list[str]]:
    images = EmbeddingStore(workspace).metadata
    source = SourceRecord(spec=str(folder), images=len(images))
    return ImageStore(workspace, source, images), images["path"].to_pylist()


def test_images_are_the_original_bytes(photos) -> None:
    folder, workspace = photos
    opened, paths = store(workspace, folder)
    for row, path in enumerate(paths):
        assert opened.read(row) == ((folder / path).read_bytes(), "image/jpeg")


def test_the_shards_stand_in_for_a_source_that_is_gone(photos) -> None:
    folder, workspace = photos
    export(ExportOptions(), workspace)
    (workspace.shards / "images-holiday.tar").write_bytes(b"of the user")
    opened, paths = store(workspace, folder)
    before = [(folder / path).read_bytes() for path in paths]
    shutil.copy(folder / paths[1], folder / paths[0])
    (folder / paths[2]).unlink()
    assert [opened.read(row)[0] for row in range(4)] == before[:4]
    assert opened.open() is None
    shutil.rmtree(folder)
    opened, _ = store(workspace, folder)
    assert f"no source {str(folder)!r}" in (opened.open() or "")
    assert [opened.read(row)[0] for row in range(len(paths))] == before


def test_a_changed_image_is_never_shown(photos) -> None:
    folder, workspace = photos
    opened, paths = store(workspace, folder)
    shutil.copy(folder / paths[1], folder / paths[0])
    with pytest.raises(FileNotFoundError, match=f"The image {paths[0]} is gone or has changed"):
        opened.read(0)
    assert opened.read(1)[0] == (folder / paths[1]).read_bytes()
