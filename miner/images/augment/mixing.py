"""Images mixed of two (CutMix)."""

import torch
from torch import Tensor


def cut_and_paste(images: Tensor, others: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """The same box of each image is replaced by that of the other one (CutMix, Yun et al. 2019, arXiv 1905.04899, section 3.1).

    A side of the box is sqrt(1 - r) of the image's; the box is cut off at the edges. As in the code of ReCo, half a side is a whole
    number of pixels.

    Args:
        images, others: float32 (batch, channels, size, size).
        drawn: r, and where the centre lies, uniform in [0, 1), float32 (3,), on the device of the images.
    Returns:
        The mixed images, (batch, channels, size, size), and the share of each that is its own, float32 scalar.
    """
    size = images.shape[-1]
    half = ((size * (1.0 - drawn[0]).sqrt()).floor() / 2).floor()
    centre = (size * drawn[1:]).floor().unsqueeze(1)
    places = torch.arange(size, device=images.device)
    inside = (places >= centre - half) & (places < centre + half)
    box = inside[0].unsqueeze(1) & inside[1]
    return torch.where(box, others, images), 1.0 - box.float().mean()
