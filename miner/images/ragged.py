"""Images of different shapes in one buffer, each with its own height and width."""

from dataclasses import dataclass
from typing import Protocol, TypeVar, overload

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class RaggedImages:
    """Some of the images of a buffer, in any order. Choosing images copies no pixel.

    Attributes:
        pixels: uint8 (bytes,), image after image, each (3, height, width); on any device.
        starts: where each image begins, int64 (n,), on the CPU.
        shapes: height and width of each image, int64 (n, 2), on the CPU.
    """

    pixels: Tensor
    starts: Tensor
    shapes: Tensor

    @classmethod
    def of(cls, pixels: Tensor, shapes: Tensor) -> "RaggedImages":
        """All images of a buffer, in its order."""
        return cls(pixels, 3 * (shapes.prod(dim=1).cumsum(dim=0) - shapes.prod(dim=1)), shapes)

    @property
    def device(self) -> torch.device:
        """The device of the pixels."""
        return self.pixels.device

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer."""
        return self.pixels.nbytes

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, rows: int) -> Tensor: ...
    @overload
    def __getitem__(self, rows: Tensor | slice) -> "RaggedImages": ...
    def __getitem__(self, rows: int | Tensor | slice) -> "Tensor | RaggedImages":
        """One image, uint8 (3, height, width), as a view of the buffer; or some images, by int64 rows on the CPU."""
        if not isinstance(rows, int):
            return RaggedImages(self.pixels, self.starts[rows], self.shapes[rows])
        start, (height, width) = int(self.starts[rows]), self.shapes[rows].tolist()
        return self.pixels[start : start + 3 * height * width].view(3, height, width)

    def layout(self) -> Tensor:
        """Start, pixels of a channel, and width of each image, int64 (3, n), on the CPU."""
        return torch.stack([self.starts, self.shapes.prod(dim=1), self.shapes[:, 1]])

    def stacked(self) -> "Tensor | RaggedImages":
        """As uint8 (n, 3, height, width) if all have one shape, else as they are."""
        if (self.shapes != self.shapes[0]).any():
            return self
        size = 3 * int(self.shapes[0].prod())
        if len(self.pixels) == len(self) * size and bool((self.starts == torch.arange(len(self)) * size).all()):
            return self.pixels.view(-1, 3, *self.shapes[0].tolist())
        return torch.stack([self[row] for row in range(len(self))])

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "RaggedImages":
        """On the device, in a buffer that holds each of these images once. A buffer on the device is used as it is."""
        if self.pixels.device == device:
            return self
        _, firsts, places = np.unique(self.starts.numpy(), return_index=True, return_inverse=True)
        distinct = self[torch.from_numpy(firsts)]
        size = 3 * int(distinct.shapes.prod(dim=1).sum())
        if size == len(self.pixels):
            return RaggedImages(self.pixels.to(device, non_blocking=non_blocking), self.starts, self.shapes)
        packed = torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
        torch.cat([distinct[row].flatten() for row in range(len(distinct))], out=packed)
        moved = RaggedImages.of(packed.to(device, non_blocking=non_blocking), distinct.shapes)
        return moved[torch.from_numpy(places)]


Pixels = Tensor | RaggedImages
P = TypeVar("P", bound=Pixels)


class HeldImages(Protocol):
    """What a tensor, ragged images and images in their files have in common: rows of pixels."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor, /) -> Pixels: ...


def device_of_rows(images: HeldImages) -> torch.device:
    """Where the numbers of rows must be to choose images by them."""
    return images.device if isinstance(images, Tensor) else torch.device("cpu")


def shapes_of(images: Pixels) -> Tensor:
    """Height and width, int64 on the CPU: (n, 2), or (1, 2) for images of one shape."""
    return images.shapes if isinstance(images, RaggedImages) else torch.tensor([images.shape[2:]])


def to_device(images: P, device: torch.device) -> P:
    """The images on the device if they take at most half of its free memory; else where they are."""
    if device.type != "cuda":
        return images
    free, _ = torch.cuda.mem_get_info(device)
    return images.to(device) if images.nbytes <= free // 2 else images  # type: ignore[return-value]  # of the type it had
