"""A finished workspace of photographs: embedded and mined, not yet exported."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from miner.artifacts.workspace import Workspace
from tests.export.folders import mine


@pytest.fixture
def workspace(make_photos, tmp_path) -> Workspace:
    return mine(make_photos(count=16, classes=2), tmp_path / "w")


@pytest.fixture
def mixed(make_photos, tmp_path) -> Workspace:
    """JPEG and PNG images in one source."""
    folder = make_photos("mixed", count=12, classes=2)
    for path in sorted(folder.rglob("*.jpg"))[::3]:
        with Image.open(path) as image:
            image.save(path.with_suffix(".png"))
        path.unlink()
    return mine(folder, tmp_path / "w")


@pytest.fixture
def partly_labelled(make_photos, tmp_path) -> Workspace:
    """A tar of images of which only the last have a label."""
    from miner.engine.tar import write_tar

    photos = sorted(make_photos("loose", count=12, classes=0).rglob("*.jpg"))
    members = [(f"k{number}.jpg", path.read_bytes()) for number, path in enumerate(photos)]
    labels = [(f"k{number}.cls", str(number % 2).encode()) for number in range(8, 12)]
    with (tmp_path / "data.tar").open("wb") as stream:
        write_tar(
            stream, [*members[:8], *(member for both in zip(members[8:], labels, strict=True) for member in both)]
        )
    return mine(tmp_path / "data.tar", tmp_path / "w")


@pytest.fixture
def twin(tmp_path: Path) -> Callable[[Workspace, str], Workspace]:
    """Copies embeddings and pairs of a workspace into another one."""

    def copy(workspace: Workspace, name: str) -> Workspace:
        for stage in ("embeddings", "pairs"):
            shutil.copytree(workspace.root / stage, tmp_path / name / stage)
        return Workspace(tmp_path / name)

    return copy
