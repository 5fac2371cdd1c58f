"""Losses in float32, for networks in any precision."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function of tensors outside autocast, with 16-bit tensors converted to float32; float64 is not changed.

    Normalisation, softmax, variances and covariances lose too much otherwise: at temperature 0.1, the bfloat16 rounding of a
    cosine is a step of 0.04 in the logits.
    """

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        devices = {value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor)}
        with torch.autocast(devices.pop(), enabled=False):
            wide = {name: _wide(value) for name, value in kwargs.items()}
            return function(*(_wide(value) for value in args), **wide)  # type: ignore[arg-type]

    return wrapped


def widened(tensor: Tensor) -> Tensor:
    """A tensor of 16 bits as float32; other tensors unchanged."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def _wide(value: object) -> object:
    return widened(value) if isinstance(value, Tensor) else value
