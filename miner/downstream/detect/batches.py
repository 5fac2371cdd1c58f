"""Which photographs each step shows: it depends on the seed and on the step alone."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from miner.downstream.detect.annotations import AnnotatedImage
from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.images.loading import decoding_threads
from miner.learning.randomness import generator_for

_AHEAD = 4
_Loaded = tuple[Tensor, dict[str, Tensor]]


@dataclass(frozen=True)
class DetectionBatch:
    """Images float32 (3, height, width) in [0, 1], and per image `boxes` (objects, 4) and `labels` (objects,), from 1."""

    images: list[Tensor]
    targets: list[dict[str, Tensor]]

    def to(self, device: torch.device) -> "DetectionBatch":
        """The batch on a device."""
        targets = [{name: value.to(device) for name, value in target.items()} for target in self.targets]
        return DetectionBatch([image.to(device) for image in self.images], targets)


def training_batches(
    images: Sequence[AnnotatedImage], size: int, seed: int, steps: Iterable[int], workers: int
) -> Iterator[DetectionBatch]:
    """The batches of these steps. Passes over all images in random order follow each other; half of the images are mirrored.

    Raises:
        MinerError: an image cannot be decoded, or a box lies outside of it.
    """

    @lru_cache(maxsize=2)
    def order(number: int) -> list[int]:
        return torch.randperm(len(images), generator=generator_for(seed, "detection order", number)).tolist()

    def chosen(step: int) -> list[tuple[AnnotatedImage, bool]]:
        mirrored = torch.rand(size, generator=generator_for(seed, "detection mirrors", step)) < 0.5
        places = (divmod(step * size + number, len(images)) for number in range(size))
        rows = [order(passed)[place] for passed, place in places]
        return [(images[row], flip) for row, flip in zip(rows, mirrored.tolist(), strict=True)]

    return _decoded_ahead(map(chosen, steps), workers)


def single_images(images: Sequence[AnnotatedImage], workers: int) -> Iterator[DetectionBatch]:
    """One image after another; raises as `training_batches`."""
    return _decoded_ahead(([(image, False)] for image in images), workers)


def _decoded_ahead(batches: Iterable[list[tuple[AnnotatedImage, bool]]], workers: int) -> Iterator[DetectionBatch]:
    with ThreadPoolExecutor(decoding_threads(workers)) as pool:
        waiting: deque[list[Future[_Loaded]]] = deque()
        for batch in batches:
            waiting.append([pool.submit(_load, image, flip) for image, flip in batch])
            if len(waiting) > _AHEAD:
                yield _batch(waiting.popleft())
        while waiting:
            yield _batch(waiting.popleft())


def _batch(started: list[Future[_Loaded]]) -> DetectionBatch:
    loaded = [each.result() for each in started]
    return DetectionBatch([pixels.float().div_(255) for pixels, _ in loaded], [target for _, target in loaded])


def _load(image: AnnotatedImage, mirrored: bool) -> _Loaded:
    """A decoded image, uint8 (3, height, width), and its objects, with boxes cut at its edges."""
    try:
        pixels = torch.from_numpy(np.array(decode_image(image.path.read_bytes()))).permute(2, 0, 1)
    except (UnreadableImageError, OSError) as error:
        raise MinerError(
            f"The photograph {image.path} cannot be used: {error}. Repair it, or remove it and its annotation."
        ) from error
    height, width = pixels.shape[1:]
    boxes = torch.from_numpy(image.boxes).clone()
    boxes[:, 0::2].clamp_(0, width)
    boxes[:, 1::2].clamp_(0, height)
    outside = (boxes[:, 2:] <= boxes[:, :2]).any(dim=1) & torch.from_numpy(
        (image.boxes[:, 2:] > image.boxes[:, :2]).all(axis=1)
    )
    if outside.any():
        box = image.boxes[int(outside.nonzero()[0])].tolist()
        raise MinerError(
            f"The photograph {image.path} has {width} x {height} pixels, and its box {box} lies outside of them."
        )
    if mirrored:
        pixels = pixels.flip(2)
        boxes[:, 0::2] = width - boxes[:, 0::2].flip(1)
    return pixels, {"boxes": boxes, "labels": torch.from_numpy(image.labels) + 1}
