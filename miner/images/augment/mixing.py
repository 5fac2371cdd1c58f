"""Images mixed of two (CutMix) or of patches of several (PatchMix)."""

import torch
from torch import Tensor
from torch.nn import functional as F


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


def draw_slots(side: int, count: int, generator: torch.Generator) -> Tensor:
    """Which of `count` images each patch shows: each image at as many random places. Places that are left over are of image 0.

    Args:
        side: patches per side of an image.
        count: at most side x side.
        generator: a generator on the CPU.
    Returns:
        int64 (side, side), from 0 to count - 1.
    """
    slots = torch.arange(side * side) // (side * side // count)
    return torch.where(slots < count, slots, 0)[torch.randperm(side * side, generator=generator)].view(side, side)


def mix_patches(images: Tensor, following: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Each image with patches of those after it, at the same places (PatchMix, Shen et al. 2023, arXiv 2306.12243, section 3.2).

    The patch at a place of image i is that of image i + slot. Pixels beyond the last whole patch are the image's own.

    Args:
        images: (batch, channels, size, size).
        following: the images that follow the last one, (count - 1, channels, size, size).
        slots: int64 (side, side), from 0 to count - 1, on the device of the images.
    Returns:
        The mixed images, like `images`, channels last in memory, and the share of pixels of each slot, (count,).
    """
    size, side = images.shape[-1], len(slots)
    patch, edge = divmod(size, side)
    places = F.pad(slots.repeat_interleave(patch, 0).repeat_interleave(patch, 1), (0, edge, 0, edge))
    rows = torch.arange(len(images), device=images.device).view(-1, 1, 1) + places
    pixels = torch.arange(size, device=images.device)
    mixed = torch.cat([images, following]).permute(0, 2, 3, 1)[rows, pixels.unsqueeze(1), pixels].permute(0, 3, 1, 2)
    count = torch.arange(len(following) + 1, device=images.device)
    return mixed, (places.flatten().unsqueeze(1) == count).to(images.dtype).mean(dim=0)
