"""A source that grows: old rows keep their numbers and bytes, whenever the run is killed."""

import shutil
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
from tests.embed.folders import add_images, checksums, die_at_call


def options(source: Path) -> EmbedOptions:
    return EmbedOptions(source=str(source), block_size=8, batch_size=4)


@pytest.fixture
def grown(make_photos, tmp_path) -> tuple[Path, Workspace]:
    """A folder that was embedded, with one unreadable image, and then got six more, one of them unreadable."""
    folder, workspace = make_photos(count=20), Workspace(tmp_path / "w")
    (folder / "class1" / "zz_old.jpg").write_bytes(b"broken")
    embed(options(folder), workspace)
    add_images(folder, 5)
    (folder / "class1" / "zz_new.jpg").write_bytes(b"")
    return folder, workspace


def test_old_rows_stay_and_only_new_images_are_encoded(grown) -> None:
    folder, workspace = grown
    before, old = checksums(workspace.embeddings), EmbeddingStore(workspace)
    result = embed(options(folder), workspace)
    assert result.fresh and result.measured["images"] == 6
    store = EmbeddingStore(workspace)
    assert len(store) == len(old) + 5 == result.record["count"]
    np.testing.assert_array_equal(store.vectors[: len(old)], old.vectors)
    assert list(store.keys)[: len(old)] == list(old.keys)
    after = checksums(workspace.embeddings)
    assert {name for name in before if name.endswith((".npy", ".parquet"))} <= after.keys()
    assert all(after[name] == before[name] for name in before if "img_emb" in name or "metadata" in name)
    errors = pq.read_table(workspace.embeddings / "errors.parquet")["path"].to_pylist()
    assert errors == ["class1/zz_old.jpg", "class1/zz_new.jpg"]
    assert result.record["errors"] == {"no known image format": 1, "empty file": 1}
    assert not embed(options(folder), workspace).fresh


def test_killed_growth_continues_to_the_same_bytes(grown, tmp_path, monkeypatch) -> None:
    folder, workspace = grown
    killed = Workspace(tmp_path / "killed")
    shutil.copytree(workspace.root, killed.root)
    add_images(folder, 10, start=100)
    embed(options(folder), workspace)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Worker, "vectors", die_at_call(3))
        embed(options(folder), killed)
    with pytest.raises(MinerError, match="has not finished"):
        EmbeddingStore(killed)
    embed(options(folder), killed)
    assert checksums(killed.embeddings) == checksums(workspace.embeddings)


def test_growth_that_grows_again_before_it_is_done_starts_over(grown, monkeypatch) -> None:
    folder, workspace = grown
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Worker, "vectors", die_at_call(1))
        embed(options(folder), workspace)
    add_images(folder, 3, start=200)
    assert embed(options(folder), workspace).record["count"] == 28
    assert len(set(EmbeddingStore(workspace).keys)) == 28


def test_new_class_folder_that_renumbers_labels_is_refused(grown) -> None:
    folder, workspace = grown
    (folder / "aaa").mkdir()
    (folder / "aaa" / "1.jpg").write_bytes((folder / "class0" / "000.jpg").read_bytes())
    with pytest.raises(MinerError, match="20 images are of another class"):
        embed(options(folder), workspace)
