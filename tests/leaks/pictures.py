"""Made pictures that differ as photographs do, and what may happen to one of them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

SIZE = (120, 90)


def picture(seed: int) -> Image.Image:
    """Random patches of several sizes; two seeds have nothing in common."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
        )
        for side in (4, 9, 20)
    ]
    return Image.fromarray(np.mean(layers, axis=0).astype(np.uint8))


def as_jpeg(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def changed(image: Image.Image) -> dict[str, Image.Image]:
    """The image after each change that leaves a copy."""
    width, height = image.size
    return {
        "mirrored": image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "turned": image.transpose(Image.Transpose.ROTATE_90),
        "resized": image.resize((width // 2 + 10, height // 2 + 20)),
        "cropped": image.crop((5, 12, 5 + int(width * 0.775), 12 + int(height * 0.775))),
        "square": image.crop((15, 0, 105, 90)),
        "recoloured": ImageEnhance.Color(ImageEnhance.Contrast(image).enhance(0.6)).enhance(0.3),
        "rotated": image.rotate(5, Image.Resampling.BICUBIC),
        "worse": Image.open(io.BytesIO(as_jpeg(image, 30))),
    }


def write_pictures(folder: Path, seeds: range) -> Path:
    """So many JPEGs in two class folders."""
    for seed in seeds:
        path = folder / f"class{seed % 2}" / f"{seed:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_jpeg(picture(seed), 92))
    return folder
