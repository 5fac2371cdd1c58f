"""Vectors and keys in memory as a workspace."""

from pathlib import Path

import numpy as np
import pytest
import torch

import miner

VECTORS = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_arrays_become_a_workspace_with_the_pairs_of_the_join(tmp_path: Path, kind) -> None:
    workspace = miner.embed(vectors=kind(VECTORS), workspace=tmp_path / "w", quiet=True)
    miner.pairs(workspace, min=0.9, max=0.99, quiet=True)

    a, b, cosine = miner.band_join(VECTORS, low=0.9, high=0.99)
    table = workspace.pairs.to_arrow()
    assert (table["a"].to_pylist(), table["b"].to_pylist()) == (a.tolist(), b.tolist())
    assert np.array_equal(table["similarity"].to_numpy(), cosine.astype(np.float32))
    assert len(a) > 10


def test_names_in_memory_are_keys_and_a_rerun_is_the_same(tmp_path: Path, capsys) -> None:
    names = [f"folder/{row}.jpg" for row in range(60)]
    for _ in range(2):
        workspace = miner.embed(vectors=VECTORS, keys=names, workspace=tmp_path / "w", quiet=True)
    assert workspace.embeddings.metadata["path"].to_pylist() == names
    with pytest.raises(miner.MinerError, match="There are 59 keys"):
        miner.embed(vectors=VECTORS, keys=names[1:], workspace=tmp_path / "w")
    with pytest.raises(miner.MinerError, match="vectors must be floating numbers"):
        miner.embed(vectors=[[1, 2], [3, 4]], workspace=tmp_path / "w")
    with pytest.raises(miner.MinerError, match="needs a workspace as its first argument"):
        miner.pairs()


def test_stages_that_need_images_say_so(tmp_path: Path) -> None:
    workspace = miner.embed(vectors=VECTORS, workspace=tmp_path / "w", quiet=True)
    miner.pairs(workspace, min=0.8, max=0.99, quiet=True)
    needs_images = (
        r"This needs the images, and the workspace holds vectors alone. Name their images: `miner embed SOURCE"
    )
    for stage in (miner.export, miner.train, miner.review):
        with pytest.raises(miner.MinerError, match=needs_images):
            stage(workspace, quiet=True)
    with pytest.raises(miner.MinerError, match=needs_images):
        workspace.pairs.image(0)
    miner.report(workspace, quiet=True)
    page = (workspace.path / "report" / "index.html").read_text()
    assert "No image can be shown, because the workspace holds vectors alone. Name their images:" in page
    assert not (workspace.path / "runs").exists()


def test_calibration_says_what_it_cannot_measure(tmp_path: Path, capsys) -> None:
    workspace = miner.embed(vectors=VECTORS, workspace=tmp_path / "w", quiet=True)
    miner.calibrate(workspace, device="cpu")
    assert "duplicates begin at 0.99, which is not measured" in capsys.readouterr().out
    assert (workspace.path / "calibration.png").exists()
    assert not (workspace.path / "calibration_pairs.png").exists()
    miner.pairs(workspace, rule="mutual", neighbors=3)
    assert workspace.pairs.manifest.request.band.high == 0.99
