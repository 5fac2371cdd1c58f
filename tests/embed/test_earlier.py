"""Sources that changed, moved or both since they were embedded; test_growth.py has those that grew."""

import io
import json
import math
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.embed.worker import Worker
from miner.errors import MinerError
from miner.source import Source
from miner.source.folder import FolderSource
from tests.embed.folders import add_images, checksums, die_at_call
from tests.source.tars import png, tar_bytes


def options(source: Path | str) -> EmbedOptions:
    return EmbedOptions(source=str(source), block_size=8, batch_size=4, device="cpu")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w")


def bitmap(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(png(seed))).save(stream, "BMP")
    return stream.getvalue()


def folder_of(tmp_path: Path) -> Path:
    """Ten bitmaps of one size in bytes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.bmp").write_bytes(bitmap(number))
    return folder


def write_same_size(path: Path, seed: int) -> None:
    data = bitmap(seed)
    assert path.stat().st_size == len(data)
    path.write_bytes(data)


def write_keeping_times(path: Path, seed: int) -> None:
    """As a tool that edits EXIF in place and restores the modification time."""
    before = path.stat()
    path.write_bytes(bitmap(seed))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_an_older_file(path: Path, seed: int) -> None:
    other = path.with_name("other")
    other.write_bytes(bitmap(seed))
    os.utime(other, (10**9, 10**9))
    other.rename(path)


@pytest.mark.parametrize("change", [write_same_size, write_keeping_times, replace_by_an_older_file])
def test_an_image_that_changed_at_the_same_size_is_refused(tmp_path: Path, workspace: Workspace, change) -> None:
    folder = folder_of(tmp_path)
    embed(options(folder), workspace)
    before = checksums(workspace.embeddings)
    change(folder / "5.bmp", 99)
    with pytest.raises(MinerError, match=r"1 of 1 image that .*5\.bmp.*--force"):
        embed(options(folder), workspace)
    assert checksums(workspace.embeddings) == before
    (folder / "5.bmp").write_bytes(bitmap(5))
    assert not embed(options(folder), workspace).fresh
    (folder / "5.bmp").write_bytes(bitmap(99))
    assert embed(options(folder), workspace, force=True).fresh
    assert not embed(options(folder), workspace).fresh


@pytest.mark.parametrize("log", [True, False])
def test_a_workspace_without_versions_notices_a_change_too(
    tmp_path: Path, workspace: Workspace, log: bool, monkeypatch
) -> None:
    """As an older miner left it: by the times of files, or by reading all images once if no log says when they were embedded."""
    folder = folder_of(tmp_path)
    for number in range(10):
        os.utime(folder / f"{number}.bmp", (10**9, 10**9))
    time.sleep(0.02)
    started = time.time()
    result = embed(options(folder), workspace)
    if log:
        # The log states whole seconds; here it states when the images were listed.
        finished = math.floor(started)
        monkeypatch.setattr(time, "gmtime", lambda _: datetime.fromtimestamp(finished, UTC).timetuple())
        workspace.log_stage("embed", {}, result, finished - started)
        monkeypatch.undo()
    versions = workspace.root / ".source_versions.parquet"
    versions.unlink()
    read, real = [], FolderSource.read
    monkeypatch.setattr(FolderSource, "read", lambda source, entry: read.append(entry.path) or real(source, entry))
    write_same_size(folder / "5.bmp", 99)
    with pytest.raises(MinerError, match=r"5\.bmp"):
        embed(options(folder), workspace)
    assert len(read) == (1 if log else 10)
    (folder / "5.bmp").write_bytes(bitmap(5))
    assert not embed(options(folder), workspace).fresh and versions.exists()


def test_files_written_again_with_the_same_bytes_are_read_once(
    tmp_path: Path, workspace: Workspace, monkeypatch
) -> None:
    folder, read = folder_of(tmp_path), []
    embed(options(folder), workspace)
    os.utime(folder / "3.bmp")
    real = FolderSource.read
    monkeypatch.setattr(FolderSource, "read", lambda source, entry: read.append(entry.path) or real(source, entry))
    for _ in range(2):
        assert not embed(options(folder), workspace).fresh
    assert read == ["3.bmp"]


def test_an_image_in_a_shard_that_changed_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes([(f"{number}.bmp", bitmap(number)) for number in range(6)]))
    embed(options(path), workspace)
    path.write_bytes(tar_bytes([(f"{number}.bmp", bitmap(number + (number == 4))) for number in range(6)]))
    with pytest.raises(MinerError, match=r"1 of 6 images .*a\.tar/4\.bmp"):
        embed(options(path), workspace)


def test_an_image_in_parquet_that_changed_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    for seed in (4, 44):
        images = [{"bytes": bitmap(n), "path": f"{n}.bmp"} for n in (0, 1, seed)]
        images = [{**image, "path": f"{row}.bmp"} for row, image in enumerate(images)]
        pq.write_table(pa.table({"image": pa.array(images)}), tmp_path / "a.parquet")
        if seed == 4:
            embed(options(tmp_path / "a.parquet"), workspace)
    with pytest.raises(MinerError, match=r"1 of 3 images .*a\.parquet/2\.bmp"):
        embed(options(tmp_path / "a.parquet"), workspace)


def test_an_image_that_changed_during_a_run_is_refused(tmp_path: Path, workspace: Workspace, monkeypatch) -> None:
    folder = folder_of(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Worker, "vectors", die_at_call(3))
        embed(options(folder), workspace)
    write_same_size(folder / "2.bmp", 77)
    with pytest.raises(MinerError, match=r"2\.bmp"):
        embed(options(folder), workspace)


def refuse_to_encode(worker: Worker, pixels: object) -> object:
    pytest.fail("encoded")


@pytest.fixture
def moved(make_photos, tmp_path: Path, workspace: Workspace, monkeypatch) -> Path:
    """The new place of a folder that was embedded; from here on nothing may be encoded."""
    folder = make_photos(count=20)
    (folder / "class1" / "zz.jpg").write_bytes(b"broken")
    embed(options(folder), workspace)
    shutil.move(folder, tmp_path / "elsewhere")
    monkeypatch.setattr(Worker, "vectors", refuse_to_encode)
    return tmp_path / "elsewhere"


def opened(workspace: Workspace) -> Source:
    return EmbeddingsManifest.read(workspace).source.open()


def test_a_moved_source_is_read_from_its_new_place(moved: Path, workspace: Workspace) -> None:
    before = checksums(workspace.embeddings)
    for folder in ("", "errors", "metadata", "parts"):
        (workspace.embeddings / folder).mkdir(exist_ok=True)
        (workspace.embeddings / folder / "notes.parquet").write_bytes(b"of the user")
    with pytest.raises(MinerError, match="If they were moved, run `miner embed` with their new place"):
        opened(workspace)
    result = embed(options(moved), workspace)
    assert not result.fresh and f"read from {moved} from now on" in result.lines[0]
    assert opened(workspace).spec == str(moved)
    manifest = EmbeddingsManifest.read(workspace)
    assert manifest.asked["source"] == manifest.source.spec == str(moved)
    after = checksums(workspace.embeddings)
    assert (workspace.embeddings / "metadata" / "notes.parquet").read_bytes() == b"of the user"
    assert {name for name in before if before[name] != after[name]} == {"manifest.json"}
    assert embed(options(moved), workspace).lines[0].startswith("embed: 20 images;")


def test_moved_pairs_and_refined_embeddings_follow(moved: Path, workspace: Workspace, tmp_path: Path) -> None:
    shutil.copytree(workspace.embeddings, workspace.refined.embeddings)
    identity = EmbeddingsManifest.read(workspace).identity
    embed(options(moved), workspace)
    assert opened(workspace.refined).spec == str(moved)
    assert EmbeddingsManifest.read(workspace).identity == identity


def test_a_moved_source_with_another_image_is_refused(moved: Path, workspace: Workspace) -> None:
    before = checksums(workspace.embeddings)
    image = moved / "class0" / "000.jpg"
    image.write_bytes(image.read_bytes()[:-2] + b"\0\0")
    with pytest.raises(MinerError, match=r"1 of 20 images .*class0/000\.jpg of .*elsewhere"):
        embed(options(moved), workspace)
    assert checksums(workspace.embeddings) == before


def test_another_source_is_refused_by_its_name(moved: Path, workspace: Workspace) -> None:
    (moved / "class0" / "000.jpg").unlink()
    with pytest.raises(MinerError, match=r"made from another source: .*photos, not .*elsewhere"):
        embed(options(moved), workspace)


def test_a_source_that_moved_and_grew_goes_on(make_photos, tmp_path: Path, workspace: Workspace) -> None:
    folder = make_photos(count=20)
    embed(options(folder), workspace)
    old = EmbeddingStore(workspace)
    shutil.move(folder, tmp_path / "elsewhere")
    add_images(tmp_path / "elsewhere", 4)
    result = embed(options(tmp_path / "elsewhere"), workspace)
    assert result.fresh and result.measured["images"] == 4
    assert list(EmbeddingStore(workspace).keys)[:20] == list(old.keys)
    assert opened(workspace).spec == str(tmp_path / "elsewhere")


def test_an_unfinished_run_goes_on_at_the_new_place(
    make_photos, tmp_path: Path, workspace: Workspace, monkeypatch
) -> None:
    folder, whole = make_photos(count=20), Workspace(tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Worker, "vectors", die_at_call(4))
        embed(options(folder), workspace)
    first = (workspace.embeddings / "img_emb" / "img_emb_00000.npy").stat().st_ino
    shutil.move(folder, tmp_path / "elsewhere")
    embed(options(tmp_path / "elsewhere"), workspace)
    embed(options(tmp_path / "elsewhere"), whole)
    assert checksums(workspace.embeddings) == checksums(whole.embeddings)
    assert (workspace.embeddings / "img_emb" / "img_emb_00000.npy").stat().st_ino == first


def test_moved_shards_named_by_a_relative_pattern_follow(tmp_path: Path, workspace: Workspace, monkeypatch) -> None:
    (tmp_path / "data").mkdir()
    for shard in range(2):
        members = [(f"{shard}{number}.bmp", bitmap(10 * shard + number)) for number in range(3)]
        (tmp_path / "data" / f"{shard}.tar").write_bytes(tar_bytes(members))
    monkeypatch.chdir(tmp_path)
    embed(options("data/{0,1}.tar"), workspace)
    (tmp_path / "data").rename(tmp_path / "moved")
    monkeypatch.setattr(Worker, "vectors", refuse_to_encode)
    assert not embed(options("moved/{0,1}.tar"), workspace).fresh
    monkeypatch.chdir("/")
    assert opened(workspace).spec == f"{tmp_path}/moved/{{0,1}}.tar"
    # Embeddings of an older version name a pattern as it was typed.
    path = workspace.embeddings / "manifest.json"
    path.write_text(path.read_text().replace(f"{tmp_path}/moved/", "moved/"))
    monkeypatch.chdir(tmp_path)
    assert not embed(options("moved/{0,1}.tar"), workspace).fresh
    assert json.loads(path.read_text())["source"]["spec"] == f"{tmp_path}/moved/{{0,1}}.tar"


def test_shards_of_one_name_in_several_folders_follow(tmp_path: Path, workspace: Workspace, monkeypatch) -> None:
    """Their keys depend on the end of the name of the folder that holds them all, so that folder keeps its name."""
    for folder in ("data/a", "data/b"):
        path = tmp_path / "x" / folder / "0.tar"
        path.parent.mkdir(parents=True)
        path.write_bytes(tar_bytes([("0.bmp", bitmap(len(folder) + ord(folder[-1])))]))
    embed(options(tmp_path / "x" / "data"), workspace)
    keys = list(EmbeddingStore(workspace).keys)
    assert len(set(keys)) == 2
    (tmp_path / "x").rename(tmp_path / "y")
    monkeypatch.setattr(Worker, "vectors", refuse_to_encode)
    assert not embed(options(tmp_path / "y" / "data"), workspace).fresh
    assert [entry.key for entry in opened(workspace).entries] == keys
    (tmp_path / "y" / "data").rename(tmp_path / "y" / "other")
    with pytest.raises(MinerError, match="another source"):
        embed(options(tmp_path / "y" / "other"), workspace)


def test_other_images_are_named(make_photos, workspace: Workspace) -> None:
    folder = make_photos(count=20)
    embed(options(folder), workspace)
    for number in (0, 1):
        (folder / "class0" / f"{number:03d}.jpg").unlink(missing_ok=True)
    new = folder / "class1" / "new.jpg"
    new.write_bytes((folder / "class0" / "003.jpg").read_bytes())
    (folder / "class0" / "003.jpg").write_bytes(new.read_bytes() + b"\0")
    with pytest.raises(MinerError) as caught:
        embed(options(folder), workspace)
    said = str(caught.value)
    assert "other images of" in said and "images are gone (class0/" in said
    assert "1 image is new (class1/new.jpg), 1 image is of another size (class0/003.jpg)" in said


def test_a_built_in_source_is_recorded_by_its_name(tmp_path: Path, workspace: Workspace, monkeypatch) -> None:
    (tmp_path / "sample").mkdir()
    monkeypatch.chdir(tmp_path)
    made = options("sample").model_copy(update={"limit": 8})
    embed(made, workspace)
    manifest = EmbeddingsManifest.read(workspace)
    assert manifest.asked["source"] == manifest.source.spec == "sample" and len(manifest.source.open().entries) == 3000
    assert not (workspace.root / ".source_versions.parquet").exists()
    monkeypatch.chdir("/")
    assert not embed(made, workspace).fresh
