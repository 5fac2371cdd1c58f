import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from miner.errors import MinerError
from miner.images import whole as module
from miner.images.loading import probe_sizes
from miner.images.ragged import RaggedImages
from miner.images.whole import expected_bytes, load_images
from miner.source import open_source
from tests.images.folders import folder_of

SIZES = [(96, 64), (50, 120), (30, 20), (32, 32)]


def test_images_keep_their_shape_and_their_short_side_is_bounded(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path, SIZES))
    images = load_images(source, source.entries, 32, 2, "decode")
    assert isinstance(images, RaggedImages)
    assert images.shapes.tolist() == [[32, 48], [76, 32], [20, 30], [32, 32]]
    shrink = v2.Compose([v2.Resize(32, antialias=True), v2.PILToTensor()])
    for row, entry in enumerate(source.entries):
        image = Image.open(io.BytesIO(source.read(entry)))
        expected = shrink(image) if min(image.size) > 32 else v2.functional.pil_to_tensor(image)
        assert torch.equal(images[row], expected)


def test_a_jpeg_that_is_decoded_small_keeps_its_shape(tmp_path: Path) -> None:
    image = Image.open(f"{folder_of(tmp_path, [(801, 601)])}/000.png")
    (tmp_path / "jpeg").mkdir()
    image.save(tmp_path / "jpeg/a.jpg", quality=95)
    small, whole = (
        load_images(source, source.entries, 60, 1, "decode")[0].int()
        for source in map(open_source, (str(tmp_path / "jpeg"), str(tmp_path)))
    )
    assert small.shape == whole.shape == (3, 60, 79)
    assert (small - whole).abs().float().mean() < 1.5


def test_images_of_one_shape_are_one_tensor(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path, [(40, 30)] * 3))
    assert load_images(source, source.entries, 32, 1, "decode").shape == (3, 3, 30, 40)


def test_expected_bytes_are_those_of_the_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(folder_of(tmp_path, SIZES))
    needed = expected_bytes(probe_sizes(source, source.entries), 4, 32)
    assert needed == load_images(source, source.entries, 32, 1, "decode").nbytes
    monkeypatch.setattr(module, "free_bytes", lambda: 2 * needed - 2)
    with pytest.raises(MinerError, match="more than half"):
        load_images(source, source.entries, 32, 1, "decode")
