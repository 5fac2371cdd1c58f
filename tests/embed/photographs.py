"""Real photographs for tests: some of a folder of clothes beside the repository, where there is one, and of the sample."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from miner.source import open_source

CLOTHING = Path(__file__).parents[3] / "shared" / "data" / "clothing160"


def clothing(count: int = 16) -> list[Image.Image]:
    """Photographs of about 160 x 213 pixels in both orientations; the test is skipped where they are not."""
    if not CLOTHING.is_dir():
        pytest.skip(f"no photographs in {CLOTHING}")
    return _opened(str(CLOTHING / "clothing-000000.tar"), count)


def sample(count: int = 16) -> list[Image.Image]:
    """Images of 28 x 28 pixels, which every encoder enlarges."""
    return _opened("sample", count)


def _opened(spec: str, count: int) -> list[Image.Image]:
    """By Pillow alone."""
    source = open_source(spec)
    images = [Image.open(io.BytesIO(source.read(entry))) for entry in list(source.entries)[:count]]
    return [ImageOps.exif_transpose(image).convert("RGB") for image in images]
