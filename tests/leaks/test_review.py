"""Reviewers judge leaks as they judge pairs."""

import pytest

from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.review.options import ReviewOptions
from miner.review.pair_set import read_pair_set
from miner.review.run import review
from miner.server.images import ImageStore
from tests.leaks.pictures import changed, picture, write_pictures
from tests.review.decisions import decision


def test_leaks_are_reviewed_with_their_images(tmp_path, find) -> None:
    train, test = write_pictures(tmp_path / "train", range(6)), write_pictures(tmp_path / "test", range(10, 16))
    for name in ("mirrored", "resized", "cropped", "square"):
        changed(picture(0))[name].save(test / f"class0/{name}.png")
    find(train, test, ceiling=1.0)
    workspace = Workspace(tmp_path / "w")
    pairs = read_pair_set(workspace, 4)
    assert len(pairs) == 4 and {pairs.keys(number)[0][:12] for number in range(4)} == {"1-class0_000"}
    assert sum(pairs.sizes()) == 4 and pairs.find([pairs.keys(2)[::-1]]) == [2]
    images = ImageStore(workspace, pairs.source, pairs.images)
    files = {(train / "class0/000.jpg").read_bytes(), *(path.read_bytes() for path in test.rglob("*.png"))}
    assert {images.read(int(row))[0] for row in [*pairs.a, *pairs.b]} == files
    lines = [
        decision().model_copy(update={"key_a": one, "key_b": other, "decision": answer}).line()
        for (one, other), answer in zip(map(pairs.keys, range(3)), ("same", "same", "different"), strict=True)
    ]
    workspace.review.mkdir()
    (workspace.review / "decisions.jsonl").write_text("".join(lines))
    precision = review(ReviewOptions(summary=True, slices=1), workspace).record["precision"]
    assert precision["value"] == pytest.approx(2 / 3, abs=1e-4) and precision["low"] < 0.66 < 0.67 < precision["high"]


def test_equal_pixels_need_no_judgement(tmp_path, find) -> None:
    train, test = write_pictures(tmp_path / "train", range(6)), write_pictures(tmp_path / "test", range(3, 9))
    find(train, test, ceiling=1.0)
    with pytest.raises(MinerError, match="nothing needs a judgement"):
        read_pair_set(Workspace(tmp_path / "w"), 4)
