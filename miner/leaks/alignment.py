"""Whether one image is a copy of the other: mirrored, turned, cropped, resized, or with other colours.

Both images become small grey squares. The start is the best of a grid of crops, in eight orientations: each crop of one image is
compared with the whole of the other. Least squares refine the affine map from there, with gain and offset of the brightness
(Lucas and Kanade 1981; Baker and Matthews, IJCV 56, 2004). Then the fine structure of both images is correlated.

Legend: n pairs, s = SIDE, p = s * s, c = _COARSE, o orientations, w crops along an axis.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

SIDE = 48  # pixels of the small images
_COARSE = 16  # pixels of the crops that are compared
_SHARES = (1.0, 0.9, 0.8, 0.7)  # of a side, that a crop keeps
_STEP = 0.05  # of a side, between crops
_TURNS = 4
_ITERATIONS = 8  # of the refinement, on smooth images and then on the images themselves
_LONGEST_STEP = 0.2
_RIDGE = 0.005  # keeps the equations of empty images solvable
_LEAST_INSIDE = 0.5  # of the smaller image, inside the larger one


@dataclass(frozen=True)
class Alignment:
    """How well the images of n pairs fit each other.

    Attributes:
        correlation: of the fine structure, -1 to 1, float64 (n,); -1 where the images do not overlap.
        share: the part of the larger image that the smaller one covers, float64 (n,).
        orientation: quarter turns to the left that undo the turn, after a mirroring if it is 4 or more, int64 (n,).
    """

    correlation: NDArray[np.float64]
    share: NDArray[np.float64]
    orientation: NDArray[np.int64]


def small_grey(image: Image.Image) -> NDArray[np.uint8]:
    """The image as a grey square, whatever its shape, uint8 (s, s)."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def align(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Alignment:
    """Align the images of pairs, either of which may be a crop of the other.

    Args:
        first, second: as of `small_grey`, uint8 (n, s, s).
    """
    a, b = (torch.from_numpy(images).float() / 255 for images in (first, second))
    starts = _best_crop(a, b), _best_crop(b, a)
    swapped = starts[1][0] > starts[0][0]
    _, orientation, affine = (_chosen(swapped, *both) for both in zip(*starts, strict=True))
    whole, part = _chosen(swapped, a, b), _chosen(swapped, b, a)
    part = _oriented(part)[torch.arange(len(part)), orientation]
    for image, template in ((_smooth(whole), _smooth(part)), (whole, part)):
        for _ in range(_ITERATIONS):
            affine = _refined(affine, image, template)
    correlation, share = _fine_correlation(affine, whole, part), torch.linalg.det(affine[:, :, :2]).abs()
    return Alignment(correlation.double().numpy(), share.double().numpy(), orientation.numpy())


def _chosen(swapped: Tensor, usual: Tensor, other: Tensor) -> Tensor:
    return torch.where(swapped.reshape(-1, *[1] * (usual.ndim - 1)), other, usual)


def _oriented(images: Tensor) -> Tensor:
    """All orientations of images, (n, o, s, s)."""
    both = (images, images.flip(-1))
    return torch.stack([image.rot90(turns, (-2, -1)) for image in both for turns in range(_TURNS)], 1)


def _crops() -> tuple[Tensor, Tensor]:
    """The crops along one axis: matrices that average pixels, (w, c, s); centre and half length of each in [-1, 1], (w, 2)."""
    places = [(number * _STEP, share) for share in _SHARES for number in range(round((1 - share) / _STEP) + 1)]
    edges, matrices = torch.arange(SIDE + 1) / SIDE, []
    for start, share in places:
        cells = start + share * torch.arange(_COARSE + 1) / _COARSE
        overlap = torch.minimum(cells[1:, None], edges[None, 1:]) - torch.maximum(cells[:-1, None], edges[None, :-1])
        matrices.append(overlap.clamp(min=0) * _COARSE / share)
    return torch.stack(matrices), torch.tensor([(2 * start + share - 1, share) for start, share in places])


def _best_crop(whole: Tensor, part: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The crop of each `whole` that fits `part` best.

    Returns:
        The correlation (n,), the orientation of the part (n,), and the affine map from the part to the whole (n, 2, 3).
    """
    matrices, places = _crops()
    crops = torch.einsum("ycs,nst,xdt->nyxcd", matrices, whole, matrices).flatten(3).flatten(1, 2)
    parts = torch.einsum("cs,nost,dt->nocd", matrices[0], _oriented(part), matrices[0]).flatten(2)
    score, best = (_unit(crops) @ _unit(parts).transpose(1, 2)).flatten(1).max(1)
    crop, orientation = best // parts.shape[1], best % parts.shape[1]
    (x, width), (y, height) = (places[index].unbind(1) for index in (crop % len(places), crop // len(places)))
    zero = torch.zeros_like(x)
    return score, orientation, torch.stack([width, zero, x, zero, height, y], 1).reshape(-1, 2, 3)


def _unit(rows: Tensor) -> Tensor:
    centred = rows - rows.mean(-1, keepdim=True)
    length: Tensor = centred.norm(dim=-1, keepdim=True)
    return centred / length.clamp(min=1e-6)


def _smooth(images: Tensor) -> Tensor:
    for _ in range(2):
        images = avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    return images


def _points() -> Tensor:
    """x, y and 1 of each pixel, in [-1, 1], (p, 3)."""
    ticks = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], -1).flatten(0, 1)


def _mapped(affine: Tensor, channels: Tensor) -> tuple[Tensor, Tensor]:
    """Channels (n, k, s, s) at the mapped pixels: (n, k, p), and 1 where these lie inside, else 0: (n, p)."""
    places = torch.einsum("pj,nij->npi", _points(), affine)
    grid = places.reshape(-1, SIDE, SIDE, 2)
    found = grid_sample(channels, grid, padding_mode="border", align_corners=False)
    return found.flatten(2), (places.abs() <= 1).all(-1).float()


def _refined(affine: Tensor, image: Tensor, template: Tensor) -> Tensor:
    """One step by least squares: image + gradient * step = gain * template + offset, at the mapped pixels."""
    slopes = ((image.roll(-1, axis) - image.roll(1, axis)) * (SIDE / 4) for axis in (2, 1))  # per unit of [-1, 1]
    found, inside = _mapped(affine, torch.stack([image, *slopes], 1))
    gradient = (found[:, 1:, :, None] * _points()).transpose(1, 2).flatten(2)
    columns = torch.cat([template.flatten(1)[:, :, None], torch.ones_like(inside)[:, :, None], -gradient], 2)
    weighted = (columns * inside[:, :, None]).transpose(1, 2)
    normal = weighted @ columns + _RIDGE * torch.eye(columns.shape[2])
    step: Tensor = torch.linalg.solve(normal, weighted @ found[:, 0, :, None])[:, 2:, 0].reshape(-1, 2, 3)
    return affine + step.clamp(-_LONGEST_STEP, _LONGEST_STEP)


def _fine_correlation(affine: Tensor, whole: Tensor, part: Tensor) -> Tensor:
    """The correlation of what is finer than a smooth image, where the images overlap, (n,)."""
    found, inside = _mapped(affine, whole[:, None])
    weight = inside / inside.sum(1, keepdim=True).clamp(min=1)
    fine = []
    for image in (found.reshape(part.shape), part):
        flat = (image - _smooth(image)).flatten(1)
        fine.append((flat - (flat * weight).sum(1, keepdim=True)) * weight.sqrt())
    product = fine[0].norm(dim=1) * fine[1].norm(dim=1)
    correlation = (fine[0] * fine[1]).sum(1) / product.clamp(min=1e-9)
    usable = (inside.mean(1) >= _LEAST_INSIDE) & affine.isfinite().flatten(1).all(1)
    return torch.where(usable, correlation, -1.0)
