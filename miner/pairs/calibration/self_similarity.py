"""Self-similarity: how similar two mild augmentations of the same image are to the encoder."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from miner.embed.encoders import Encoder
from miner.embed.encoders.embedded import encoder_of
from miner.engine import Progress
from miner.engine.heap import give_back_memory, keep_freed_memory
from miner.errors import MinerError
from miner.machine.device import resolve_device, resolve_precision
from miner.pairs.calibration.images import ReadImages
from miner.pairs.options import CalibrateOptions

_AREA = (0.8, 1.0)
_BRIGHTNESS = (0.9, 1.1)
_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
UNMEASURED = (
    0.99  # where duplicates are taken to begin for vectors of an unknown encoder: the --max of a band by default
)


def measure_self_similarity(options: CalibrateOptions, images: ReadImages) -> NDArray[np.float64]:
    """Cosines of two mild augmentations of the same image, for a sample of the embedded images, ascending, float64 (n,).

    Raises:
        MinerError: no encoder made the embeddings, or the encoder or the images have changed since.
    """
    store, embeddings, request = images.store, images.store.manifest, images.store.manifest.request
    if request.encoder is None:
        raise MinerError(
            f"{store.folder} holds refined embeddings. No encoder computes them from an image, which calibration needs. Run "
            "`miner pairs` with --max, the cosine above which images are duplicates, or with --min and --max."
        )
    device = resolve_device(options.device)
    encoder = encoder_of(embeddings, device)
    keys = list(images.entries)
    rng = np.random.default_rng(options.seed)
    chosen = np.sort(rng.permutation(len(keys))[: options.images])
    with Progress("augmentations", len(chosen), "images") as progress:

        def photos() -> Iterator[Image.Image]:
            for row in chosen:
                yield images.image(keys[row])
                progress.advance()

        precision = resolve_precision(request.precision, device)
        if device.type == "cpu":
            keep_freed_memory()
        similarity = self_similarity(encoder, photos(), rng, options.batch_size, device, precision)
    give_back_memory()
    return similarity


def quantiles(similarity: NDArray[np.float64]) -> dict[str, float]:
    """Quantiles by name: `q05` is the 5 % quantile, `q50` the median."""
    return {f"q{round(level * 100):02d}": float(np.quantile(similarity, level)) for level in _LEVELS}


def mild_augmentation(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A random crop of 80 to 100 % of the area, flipped half of the time, with brightness and contrast changed by +-10 %."""
    width, height = image.size
    side = np.sqrt(rng.uniform(*_AREA))
    crop_width, crop_height = max(1, round(width * side)), max(1, round(height * side))
    left, top = rng.integers(0, width - crop_width + 1), rng.integers(0, height - crop_height + 1)
    image = image.crop((int(left), int(top), int(left) + crop_width, int(top) + crop_height))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(*_BRIGHTNESS))
    return ImageEnhance.Contrast(image).enhance(rng.uniform(*_BRIGHTNESS))


def self_similarity(
    encoder: Encoder,
    images: Iterable[Image.Image],
    rng: np.random.Generator,
    batch_size: int = 64,
    device: torch.device | None = None,
    precision: torch.dtype = torch.float32,
) -> NDArray[np.float64]:
    """Cosines of two mild augmentations of the same image, one per image, ascending, float64 (n,).

    Args:
        encoder: on `device`, the CPU if not given.
        images: RGB images; read one batch at a time.
        rng: the generator of the augmentations.
    """
    vectors = []
    unread = iter(images)
    pixels_of = encoder.preprocess.pixels
    while views := [pixels_of(mild_augmentation(image, rng)) for image in islice(unread, batch_size) for _ in "ab"]:
        pixels = torch.from_numpy(np.stack(views)).to(device)
        vectors.append(encoder.encode(pixels, precision).cpu().numpy())
    both = np.concatenate(vectors).astype(np.float64)
    return np.sort(np.minimum((both[0::2] * both[1::2]).sum(axis=1), 1.0))
