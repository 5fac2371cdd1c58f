"""Projectors and predictors."""

from itertools import pairwise

from torch import nn


def mlp(
    *widths: int,
    last: nn.Module | None = None,
    bias: bool = True,
    activation: type[nn.Module] = nn.ReLU,
    normalised: bool = True,
) -> nn.Sequential:
    """Linear layers with batch normalisation and an activation between them.

    Args:
        widths: the widths of the input, the hidden layers and the output.
        last: layer after the last linear layer, such as a batch normalisation.
        bias: whether the last linear layer has one; the others have one if no normalisation follows.
        activation: the activation of the hidden layers.
        normalised: whether there is batch normalisation at all.
    Returns:
        (batch, widths[0]) -> (batch, widths[-1]).
    """
    *hidden, (inner, outer) = pairwise(widths)
    layers: list[nn.Module] = []
    for before, after in hidden:
        layers.append(nn.Linear(before, after, bias=not normalised))
        layers += [nn.BatchNorm1d(after), activation()] if normalised else [activation()]
    layers.append(nn.Linear(inner, outer, bias=bias))
    return nn.Sequential(*layers, *([last] if last is not None else []))
