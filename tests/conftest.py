"""Real images for every test: photographs of clothes from the `sample` source."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from miner.source import open_source

FolderMaker = Callable[..., Path]


@pytest.fixture
def make_photos(tmp_path: Path) -> FolderMaker:
    """Writes a folder of JPEGs, with class folders unless `classes` is 0."""

    def make(name: str = "photos", count: int = 12, classes: int = 2, side: int = 40) -> Path:
        sample = open_source("sample")
        folder = tmp_path / name
        wanted = [entry for entry in sample.entries if classes == 0 or (entry.label or 0) < classes][:count]
        for number, entry in enumerate(wanted):
            target = folder / (f"class{entry.label}" if classes else "") / f"{number:03d}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            image = Image.open(io.BytesIO(sample.read(entry))).convert("RGB").resize((side, side))
            image.save(target, quality=92)
        return folder

    return make
