"""The off-diagonal entries of a square matrix, for the losses of VICReg and Barlow Twins."""

import torch
from torch import Tensor


def off_diagonal_squares(matrix: Tensor) -> Tensor:
    """Sum of the squares of all entries (dim, dim) that are not on the diagonal."""
    diagonal = torch.eye(len(matrix), dtype=torch.bool, device=matrix.device)
    return matrix.masked_fill(diagonal, 0.0).square().sum()
