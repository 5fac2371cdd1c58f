"""What the loop knows of a method."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Method(nn.Module, ABC):
    """A self-supervised method around a backbone. Everything that must survive a restart is in its state dict.

    Attributes:
        backbone: the encoder that is kept in the end.
    """

    backbone: nn.Module

    @abstractmethod
    def forward(self, first: Tensor, second: Tensor, draw: torch.Generator) -> dict[str, Tensor]:
        """One step on two views.

        Args:
            first, second: normalised views of the two members of each item, float32 (batch, 3, size, size).
            draw: CPU generator for anything random in this step.
        Returns:
            "loss" with its graph, and metrics without, all float32 scalars.
        """

    def trainable(self) -> list[nn.Parameter]:
        """Parameters for the optimiser."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def spread(features: Tensor) -> Tensor:
    """Standard deviation of unit features over the batch, times sqrt(dim): about 1 when spread over the sphere, 0 at collapse.

    After SimSiam (Chen & He 2021, arXiv 2011.10566, figure 2).

    Args:
        features: unit rows, float32 (batch, dim).
    Returns:
        float32 scalar.
    """
    deviation = features.std(dim=0, correction=0).mean()
    return deviation.mul(features.shape[1] ** 0.5)
