"""JPEGs decoded at a fraction of their size (--draft)."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError
from miner.images.decode import decode_at_least
from miner.images.preprocess import Preprocess

STEPS = Preprocess(64, 56, "bilinear", (0.5,) * 3, (0.5,) * 3)


def picture(width: int, height: int) -> Image.Image:
    """Smooth, and different in every corner."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))


def jpeg(image: Image.Image, orientation: int = 1, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    image.save(stream, kind, exif=exif.tobytes(), **({"quality": 95} if kind == "JPEG" else {}))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("size", "shrink"),
    [((1024, 1100), 8), ((1023, 1100), 4), ((600, 512), 4), ((300, 256), 2), ((255, 300), 1), ((30, 20), 1)],
)
def test_smallest_scale_that_keeps_twice_the_pixels(size: tuple[int, int], shrink: int) -> None:
    drafted = decode_at_least(jpeg(picture(*size)), lambda size: STEPS.needed(size, 2))
    assert (drafted.shrink, drafted.size) == (shrink, size)
    assert drafted.image.size == tuple(-(-side // shrink) for side in size)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["center", "squash", "border", "square"])
def test_same_view_as_at_full_size_in_every_orientation(orientation: int, mode: str) -> None:
    steps = Preprocess(64, 64 if mode == "square" else 56, "bilinear", (0.5,) * 3, (0.5,) * 3, mode)
    data = jpeg(picture(531, 402), orientation)
    full, drafted = decode_at_least(data), decode_at_least(data, lambda size: steps.needed(size, 1.5))
    assert drafted.shrink > 1 and drafted.size == full.size == full.image.size
    difference = np.abs(steps.pixels_of(drafted).astype(int) - steps.pixels_of(full).astype(int))
    assert difference.mean() < 1 and difference.max() < 12


def test_other_formats_are_not_shrunk() -> None:
    assert decode_at_least(jpeg(picture(1024, 1100), kind="PNG"), lambda size: STEPS.needed(size, 2)).shrink == 1


def test_metadata_keeps_the_original_size(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(picture(1200, 900)))
    (folder / "b.jpg").write_bytes(jpeg(picture(1201, 899), orientation=6))
    plain, drafted = Workspace(tmp_path / "plain"), Workspace(tmp_path / "drafted")
    options = EmbedOptions(source=str(folder), precision="fp32", dtype="float32", device="cpu")
    embed(options, plain)
    manifest = embed(options.model_copy(update={"draft": 1.5}), drafted).record
    assert manifest["request"]["draft"] == 1.5
    rows = EmbeddingStore(drafted).metadata.to_pylist()
    assert rows == EmbeddingStore(plain).metadata.to_pylist()
    assert [(row["width"], row["height"]) for row in rows] == [(1200, 900), (899, 1201)]
    ours, exact = EmbeddingStore(drafted).vectors, EmbeddingStore(plain).vectors
    cosines = (ours * exact).sum(axis=1)
    assert (cosines > 0.98).all() and not np.array_equal(ours, exact)
    with pytest.raises(MinerError, match="draft"):
        embed(options, drafted)
