"""Momentum encoders: exponential moving averages of another network. Each method calls `move_towards` once per step."""

from collections.abc import Iterable
from copy import deepcopy
from typing import TypeVar

import torch
from timm.layers.drop import DropPath
from torch import nn

_Network = TypeVar("_Network", bound=nn.Module)


def slow_copy(network: _Network) -> _Network:
    """A copy without gradients. As in the code of DINO, the copy skips no block where the original has stochastic depth."""
    copy = deepcopy(network).requires_grad_(False)
    for module in copy.modules():
        if isinstance(module, DropPath):
            module.drop_prob = 0.0
    return copy


@torch.no_grad()
def move_towards(average: nn.Module, online: Iterable[nn.Parameter], momentum: float) -> None:
    """average <- momentum average + (1 - momentum) online, for parameters only; normalisation has its own statistics.

    Args:
        online: parameters of the network that it follows, in the same order.
        momentum: a number in [0, 1].
    """
    torch._foreach_lerp_(list(average.parameters()), list(online), 1.0 - momentum)


def momentum_at(step: int, steps: int, base: float, grows: bool) -> float:
    """The momentum of a step: constant, or from `base` to 1 along half a cosine (BYOL, Grill et al. 2020, arXiv 2006.07733,
    section 3.3). With 0, the average is the online network of each step, so there is no momentum.

    Args:
        step: counted from 0.
        steps: the number of steps of the whole run.
        base: in [0, 1].
        grows: whether it grows to 1.
    Returns:
        A number of float32 if it grows.
    """
    if not grows:
        return base
    angle = torch.pi * torch.tensor(float(step)) / steps
    return (1.0 - (1.0 - base) * 0.5 * (1.0 + torch.cos(angle))).item()
