"""`miner similar`: the answers against brute force, queries of each kind, and a page that hostile names cannot change."""

import numpy as np
import pytest
import torch

import miner
from miner.commands.app import app
from miner.embed.encoders.base import Encoder
from miner.errors import MinerError, UsageError
from miner.verify.run import verify

HOSTILE = "<script>alert('x')<script>&.jpg"


@pytest.fixture
def opened(make_photos, tmp_path) -> miner.OpenedWorkspace:
    folder = make_photos(count=12)
    next(folder.rglob("*.jpg")).rename(folder / HOSTILE)
    return miner.embed(folder, workspace=tmp_path / "w", device="cpu", quiet=True)


def test_a_file_a_key_and_a_path_give_the_nearest(opened, tmp_path) -> None:
    vectors = opened.embeddings.vectors.astype(np.float64)
    cosines = vectors @ vectors[3] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[3])
    wanted = [row for row in np.argsort(-cosines, kind="stable").tolist() if row != 3][:5]
    key, path = (opened.embeddings.metadata[name][3].as_py() for name in ("key", "path"))
    for query in (key, path):
        found = miner.similar(opened, query, 5)
        assert found.rows.tolist() == wanted and found.keys[0] == opened.embeddings.keys[wanted[0]]
        np.testing.assert_allclose(found.cosines, cosines[wanted], atol=1e-12)
    found = miner.similar(opened, tmp_path / "photos" / path, 5)
    assert found.rows[0] == 3 and found.cosines[0] > 0.999
    assert len(miner.similar(opened, key, 100).rows) == 11


def test_command_prints_paths_and_writes_a_harmless_page(opened, tmp_path, capsys) -> None:
    root = opened.path
    app(["similar", str(tmp_path / "photos" / HOSTILE), "-w", str(root)], standalone_mode=False)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 13 and printed[0].startswith("1.000  ") and "script" in printed[0]
    page = (root / "similar" / "index.html").read_text("utf-8")
    assert "<script" not in page and page.count("<img") == 13 and "&lt;script&gt;" in page
    assert "<script" not in miner.similar(opened, opened.embeddings.keys[0])._repr_html_()
    verify(str(root))


def test_texts_need_a_text_tower(opened, monkeypatch) -> None:
    with pytest.raises(UsageError, match=r"'a red shoe' is no image file.*efficientnet_lite0 has no text tower"):
        miner.similar(opened, "a red shoe")
    for wrong in ("x" * 5000, "a\0b"):
        with pytest.raises(UsageError, match="no text tower"):
            miner.similar(opened, wrong)

    def encode_text(texts: list[str]) -> torch.Tensor:
        assert texts == ["a red shoe"]
        return 3 * torch.from_numpy(opened.embeddings.vectors[5:6].astype(np.float32))

    network = Encoder.encode
    monkeypatch.setattr(torch.nn.Module, "encode_text", staticmethod(encode_text), raising=False)
    found = miner.similar(opened, "a red shoe", 3)
    assert found.rows[0] == 5 and found.html.count("<img") == 3 and Encoder.encode is network


def test_what_cannot_be_compared_is_refused_in_words(opened, tmp_path) -> None:
    (tmp_path / "no.jpg").write_text("no image")
    with pytest.raises(UsageError, match=r"no\.jpg cannot be read"):
        miner.similar(opened, tmp_path / "no.jpg")
    with pytest.raises(UsageError, match="at least one"):
        miner.similar(opened, "x", 0)
    alone = miner.embed(vectors=opened.embeddings.vectors, workspace=tmp_path / "alone", quiet=True)
    assert miner.similar(alone, alone.embeddings.keys[0], 2).html.count("not available</span>") == 3 - 1
    with pytest.raises(MinerError, match="no encoder is known"):
        miner.similar(alone, tmp_path / "photos")
