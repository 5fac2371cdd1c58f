import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from miner.errors import MinerError
from miner.images import loading as module
from miner.images.decode import DecodedImage, decode_at_least
from miner.images.loading import load_squares, probe_sizes, typical_side
from miner.source import open_source
from tests.images.folders import folder_of
from tests.train.mini_workspace import sample_entries


def test_pixels_are_those_of_the_file() -> None:
    source, entries = sample_entries(70)
    loaded = load_squares(source, entries, 28, 2, "decode")
    assert loaded.shape == (70, 3, 28, 28) and loaded.dtype == torch.uint8
    for entry, pixels in zip(entries, loaded, strict=True):
        with Image.open(io.BytesIO(source.read(entry))) as image:
            assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(image.convert("RGB")))


def test_resize_keeps_the_central_square_as_torchvision_does(tmp_path: Path) -> None:
    # Sizes whose scaled sides and margins are whole pixels; in between, torchvision rounds and the exact box does not.
    source = open_source(folder_of(tmp_path, [(96, 64), (64, 128), (100, 100), (16, 24), (32, 48)]))
    loaded = load_squares(source, source.entries, 32, 1, "decode")
    reference = v2.Compose([v2.Resize(32, antialias=True), v2.CenterCrop(32), v2.PILToTensor()])
    for entry, pixels in zip(source.entries, loaded, strict=True):
        expected = reference(Image.open(io.BytesIO(source.read(entry))))
        assert (pixels.int() - expected.int())[..., 2:-2, 2:-2].abs().max() <= 1


def test_a_crop_of_seven_eighths_is_that_of_torchvision(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path, [(96, 67), (64, 129), (50, 50), (20, 31)]))
    loaded = load_squares(source, source.entries, 28, 1, "decode", crop=0.875)
    reference = v2.Compose([v2.Resize(32, antialias=True), v2.CenterCrop(28), v2.PILToTensor()])
    for entry, pixels in zip(source.entries, loaded, strict=True):
        assert torch.equal(pixels, reference(Image.open(io.BytesIO(source.read(entry)))))


def test_a_large_jpeg_is_decoded_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    large = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((1200, 900), Image.Resampling.BICUBIC)
    for name in ("a.jpg", "b.png"):
        large.save(tmp_path / name, **({"quality": 95} if name == "a.jpg" else {}))
    source, decoded = open_source(str(tmp_path)), []

    def decode(*arguments: Any) -> DecodedImage:
        decoded.append(decode_at_least(*arguments))
        return decoded[-1]

    monkeypatch.setattr(module, "decode_at_least", decode)
    small, whole = load_squares(source, source.entries, 100, 1, "decode").int()
    assert [picture.image.size for picture in decoded] == [(300, 225), (1200, 900)]
    assert (small - whole).abs().float().mean() < 1


def test_typical_side_is_the_median_short_side(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path, [(30, 90), (50, 40), (70, 80)]))
    assert typical_side(probe_sizes(source, source.entries)) == 40


def test_an_undecodable_image_is_named(tmp_path: Path) -> None:
    spec = folder_of(tmp_path, [(20, 20)] * 3)
    (tmp_path / "001.png").write_bytes((tmp_path / "001.png").read_bytes()[:100])
    (tmp_path / "002.png").write_bytes(b"no image")
    source = open_source(spec)
    with pytest.raises(MinerError, match=r"001\.png .*cannot be used"):
        load_squares(source, source.entries, 16, 2, "decode")
    with pytest.raises(MinerError, match=r"002\.png .*no known image format"):
        probe_sizes(source, source.entries)


def test_more_than_half_of_the_memory_is_refused() -> None:
    source, entries = sample_entries(10)
    needed = 10 * 3 * 28 * 28
    assert len(load_squares(source, entries, 28, 1, "decode", memory_bytes=2 * needed)) == 10
    with pytest.raises(MinerError, match="more than half"):
        load_squares(source, entries, 28, 1, "decode", memory_bytes=2 * needed - 2)
