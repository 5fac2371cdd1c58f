"""Mean and deviation of the channels of a data set."""

from collections.abc import Iterator

import torch
from torch import Tensor

from miner.images.ragged import HeldImages, RaggedImages

_STATISTICS_SAMPLE = 10_000
_STATISTICS_PART = 250


def channel_statistics(images: HeldImages) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel on the scale [0, 1], over all pixels of up to 10,000 images, to four digits."""
    rows = torch.linspace(0, len(images) - 1, min(_STATISTICS_SAMPLE, len(images))).long()
    levels = torch.arange(256, dtype=torch.float64) / 255.0
    counts = torch.zeros(3, 256, dtype=torch.float64)
    for part in torch.split(rows, _STATISTICS_PART):
        for pixels in _by_channel(images, part):
            for channel, values in enumerate(pixels):
                counts[channel] += torch.bincount(values.flatten().int(), minlength=256)
    means, widths = [], []
    for share in counts / counts.sum(dim=1, keepdim=True):
        mean = (share * levels).sum()
        means.append(round(float(mean), 4))
        # Not 0, which images of a single colour would give.
        widths.append(max(round(float((share * (levels - mean) ** 2).sum().sqrt()), 4), 1 / 255))
    return tuple(means), tuple(widths)


def _by_channel(images: HeldImages, rows: Tensor) -> Iterator[Tensor]:
    """Pixels of some images, channels first; images of one shape all at once."""
    chosen = images[rows]
    if isinstance(chosen, RaggedImages):
        yield from (chosen[row] for row in range(len(chosen)))
    else:
        yield chosen.transpose(0, 1)
