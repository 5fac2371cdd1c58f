"""What one step of training sees."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Views of the items of a step, and which images they show.

    Attributes:
        first, second: normalised views of the two members of each item, float32 (batch, 3, size, size).
        anchors, positives: rows of the images that `first` and `second` show, int64 (batch,); equal in an own-view item.
        draw: CPU generator for anything random in this step.
    """

    first: Tensor
    second: Tensor
    anchors: Tensor
    positives: Tensor
    draw: torch.Generator
