"""What `miner embed` says when it ends: images, labels, and all that was left out."""

from pathlib import Path

import pytest

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine import Result
from tests.source.tars import png, tar_bytes


def said(source: Path, tmp_path: Path) -> Result:
    return embed(EmbedOptions(source=str(source), max_errors=1.0, device="cpu"), Workspace(tmp_path / "w"))


def test_images_labels_and_everything_left_out(make_photos, tmp_path: Path) -> None:
    folder = make_photos(count=10, classes=2)
    for number in range(7):
        (folder / "class0" / f"broken{number}.jpg").write_bytes(b"<html>" if number else b"")
    for name in ("a.xyz", "b.xyz", "notes.txt", "LICENSE"):
        (folder / "class1" / name).write_bytes(b"text")
    result = said(folder, tmp_path)
    assert result.lines[0] == (
        "embed: 10 images; labels: 10 of 10 in 2 classes; left out: 7 unreadable (class0/broken0.jpg: empty file, "
        "class0/broken1.jpg: no known image format (a web page), class0/broken2.jpg: no known image format (a web page), "
        "class0/broken3.jpg: no known image format (a web page), class0/broken4.jpg: no known image format (a web page), ...), "
        "4 of other kinds (.xyz 2, no ending 1, .txt 1)"
    )
    again = said(folder, tmp_path)
    assert not again.fresh and again.lines[0] == result.lines[0]


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ([None] * 4, "4 images; no labels"),
        ([b"cat", b"dog", b"cat", None], "4 images; labels: 3 of 4 in 2 classes"),
        (
            [b"7", b"-3", b"2.5", b"-1"],
            "4 images; labels: 1 of 4 in 1 class (2 not used: negative number 1, no whole number 1)",
        ),
        ([b"[1, 2]"] * 4, "4 images; no labels (4 not used: several labels 4)"),
    ],
)
def test_labels_are_counted(tmp_path: Path, labels: list[bytes | None], line: str) -> None:
    members = [(f"{number}.png", png(number)) for number in range(4)]
    members += [(f"{number}.cls", label) for number, label in enumerate(labels) if label is not None]
    (tmp_path / "a.tar").write_bytes(tar_bytes(members))
    assert said(tmp_path / "a.tar", tmp_path).lines[0] == f"embed: {line}"
