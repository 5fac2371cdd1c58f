import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.embed.worker import Worker
from miner.errors import MinerError
from tests.embed.folders import checksums, die_at_call


def options(source: Path, **changes: object) -> EmbedOptions:
    return EmbedOptions(source=str(source), block_size=8, batch_size=4, **changes)


def test_vectors_metadata_and_manifest_line_up(make_photos, tmp_path) -> None:
    folder = make_photos(count=12, classes=2)
    workspace = Workspace(tmp_path / "w")
    result = embed(options(folder, dtype="float32"), workspace)
    store = EmbeddingStore(workspace)
    assert result.record["count"] == len(store) == 12
    assert store.vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(store.vectors, axis=1), 1, atol=1e-5)
    for row in store.metadata.to_pylist():
        data = (folder / row["path"]).read_bytes()
        assert (row["sha256"], row["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
        assert (row["width"], row["height"], row["label"]) == (40, 40, int(row["path"][5]))
    names = sorted(path.name for path in (workspace.embeddings / "img_emb").iterdir())
    assert names == ["img_emb_00000.npy", "img_emb_00001.npy"]


def test_unusable_images_are_recorded_and_the_rest_goes_on(make_photos, tmp_path) -> None:
    folder = make_photos(count=10)
    (folder / "class0" / "000.jpg").write_bytes(b"")
    (folder / "class1" / "page.jpg").write_bytes(b"<html></html>")
    workspace = Workspace(tmp_path / "w")
    result = embed(options(folder), workspace)
    errors = pq.read_table(workspace.embeddings / "errors.parquet").to_pylist()
    assert {error["path"]: error["reason"] for error in errors} == {
        "class0/000.jpg": "empty file",
        "class1/page.jpg": "no known image format (a web page)",
    }
    assert result.record["count"] == 9
    assert "class0/000.jpg" not in EmbeddingStore(workspace).metadata["path"].to_pylist()


def test_a_block_that_is_all_unusable_keeps_its_place(make_photos, tmp_path) -> None:
    folder = make_photos(count=12, classes=0)
    for path in sorted(folder.iterdir())[:8]:
        path.write_bytes(b"broken")
    workspace = Workspace(tmp_path / "w")
    embed(options(folder), workspace)
    assert [len(np.load(path)) for path in sorted((workspace.embeddings / "img_emb").iterdir())] == [0, 4]
    assert len(EmbeddingStore(workspace)) == 4


def test_resumed_run_gives_the_same_bytes(make_photos, tmp_path, monkeypatch) -> None:
    folder = make_photos(count=20)
    (folder / "class0" / "001.jpg").write_bytes(b"broken")
    whole, resumed = Workspace(tmp_path / "whole"), Workspace(tmp_path / "resumed")
    embed(options(folder), whole)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Worker, "vectors", die_at_call(4))
        embed(options(folder), resumed)
    first = resumed.embeddings / "img_emb" / "img_emb_00000.npy"
    kept = first.stat().st_ino
    (resumed.embeddings / "img_emb" / ".img_emb_00001.npy.partial").write_bytes(b"what kill -9 leaves")
    embed(options(folder), resumed)
    assert checksums(resumed.embeddings) == checksums(whole.embeddings)
    assert first.stat().st_ino == kept


def test_finished_run_does_nothing_and_another_is_refused(make_photos, tmp_path) -> None:
    folder = make_photos(count=6)
    workspace = Workspace(tmp_path / "w")
    assert embed(options(folder), workspace).fresh
    assert not embed(options(folder), workspace).fresh
    before = checksums(workspace.embeddings)
    with pytest.raises(MinerError, match=r"--encoder was efficientnet_lite0 and is now resnet50.*--force"):
        embed(options(folder, encoder="resnet50"), workspace)
    (folder / "class0" / "000.jpg").unlink(missing_ok=True)
    with pytest.raises(MinerError, match=r"other images of .*: 1 image is gone \(class0/000.jpg\)"):
        embed(options(folder), workspace)
    assert checksums(workspace.embeddings) == before
    assert embed(options(folder), workspace, force=True).record["count"] == 5


def test_force_keeps_what_was_there_until_the_encoder_is_loaded(make_photos, tmp_path) -> None:
    workspace = Workspace(tmp_path / "w")
    folder = make_photos(count=6)
    embed(options(folder), workspace)
    before = checksums(workspace.embeddings)
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    with pytest.raises(MinerError, match="never runs code"):
        embed(options(folder, encoder=f"resnet18@{tmp_path / 'broken.pt'}"), workspace, force=True)
    assert checksums(workspace.embeddings) == before


def test_one_image_and_no_readable_image_are_explained(make_photos, tmp_path) -> None:
    workspace = Workspace(tmp_path / "w")
    with pytest.raises(MinerError, match="one image"):
        embed(options(make_photos("single", count=1, classes=0)), workspace)
    broken = make_photos("broken", count=3, classes=0)
    for path in broken.iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(MinerError, match=r"Only 0 of the 3 .*3 x no known image format"):
        embed(options(broken), workspace)
    assert not workspace.embeddings.exists()


def test_store_refuses_what_does_not_fit(make_photos, tmp_path) -> None:
    workspace = Workspace(tmp_path / "w")
    with pytest.raises(MinerError, match="miner embed"):
        EmbeddingStore(workspace)
    embed(options(make_photos(count=6)), workspace)
    path = workspace.embeddings / "img_emb" / "img_emb_00000.npy"
    vectors = np.load(path)
    for damage, message in (
        (vectors[:-1], "5 vectors"),
        (vectors[:, :-1], "manifest says"),
        (vectors.astype(np.float64), "float64"),
        (np.where(np.arange(6)[:, None] == 2, 0, vectors), "row 2"),
        (np.where(np.arange(6)[:, None] == 3, np.nan, vectors), "row 3"),
    ):
        np.save(path, damage)
        with pytest.raises(MinerError, match=message):
            _ = EmbeddingStore(workspace).vectors
    path.write_bytes(b"")
    with pytest.raises(MinerError, match="missing or damaged"):
        EmbeddingStore(workspace)
    path.unlink()
    with pytest.raises(MinerError, match="missing or damaged"):
        EmbeddingStore(workspace)
