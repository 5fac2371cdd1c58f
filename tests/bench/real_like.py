"""Vectors in any number that are to a join what those of real images are.

Made to resemble 50,000 stored vectors of CIFAR-10 (train, EfficientNet-Lite0 at 112 px, d = 1280) in what decides the speed of a
join: how the energy falls over the principal directions (`_SPECTRUM`, measured), how similar random pairs are, and how that
differs from image to image. A vector is the common mean direction and a part of its own that four normal draws add up to: of its
class (one of 100), its group (20 in a class), its scene (25 in a group) and itself. How near a vector is to its scene is uniform,
which gives the near copies; its distance from the mean direction is log-normal. Shares and numbers were fitted by hand.

Share of random pairs at or above a cosine, and what is left of a vector after p principal directions (median length):

    cosine           0.5     0.6     0.7     0.8     0.9     0.95        p   64    128    256
    CIFAR-10         1.4e-1  2.4e-2  2.0e-3  3.8e-5  1.4e-6  2.0e-7         .489   .412   .328
    these, d = 768   2.1e-1  1.9e-2  2.0e-3  2.1e-5  1.6e-6  3.7e-7         .474   .392   .297
"""

import math

import numpy as np
import torch
from torch import Tensor

# Energy of principal direction k, for unit vectors.
_SPECTRUM = {
    1: 4.16e-1,
    2: 3.77e-2,
    3: 2.35e-2,
    4: 2.05e-2,
    8: 1.14e-2,
    16: 5.91e-3,
    32: 3.23e-3,
    64: 1.67e-3,
    128: 7.69e-4,
    256: 3.35e-4,
    384: 2.11e-4,
    512: 1.53e-4,
    768: 8.87e-5,
    1024: 4.87e-5,
}
_CLASSES, _GROUPS, _SCENES = 100, 20, 25
_CLASS_SHARE, _GROUP_SHARE = 0.38, 0.12
_SCALE_SPREAD = 0.14
_CHUNK_ROWS = 65536


def real_like(count: int, dim: int, seed: int = 0, device: str | torch.device = "cpu") -> Tensor:
    """Unit vectors, float16 (count, dim) on the device; any part of a longer set drawn with the same seed is that part."""
    draw = torch.Generator(device).manual_seed(seed)

    def normal(rows: int) -> Tensor:
        return torch.randn(rows, dim, generator=draw, device=device)

    energy = np.exp(np.interp(np.log(np.arange(1, dim + 1)), np.log(list(_SPECTRUM)), np.log(list(_SPECTRUM.values()))))
    spread = torch.tensor(np.sqrt(energy / energy.sum()), dtype=torch.float32, device=device)
    turn = torch.linalg.qr(normal(dim)).Q
    classes, groups, scenes = (normal(_CLASSES), normal(_CLASSES * _GROUPS), normal(_CLASSES * _GROUPS * _SCENES))
    vectors = torch.empty(count, dim, dtype=torch.float16, device=device)
    for start in range(0, count, _CHUNK_ROWS):
        scene = torch.randint(len(scenes), (_CHUNK_ROWS,), generator=draw, device=device)
        near = torch.rand(_CHUNK_ROWS, 1, generator=draw, device=device)
        rows = near * scenes[scene] + (1 - near.square()).sqrt() * normal(_CHUNK_ROWS)
        rows *= math.sqrt(1 - _CLASS_SHARE - _GROUP_SHARE)
        rows += math.sqrt(_CLASS_SHARE) * classes[scene // (_GROUPS * _SCENES)]
        rows += math.sqrt(_GROUP_SHARE) * groups[scene // _SCENES]
        rows *= torch.exp(_SCALE_SPREAD * torch.randn(_CHUNK_ROWS, 1, generator=draw, device=device)) * spread
        rows[:, 0] = spread[0]
        stop = min(start + _CHUNK_ROWS, count)
        vectors[start:stop] = torch.nn.functional.normalize(rows @ turn)[: stop - start].half()
    return vectors
