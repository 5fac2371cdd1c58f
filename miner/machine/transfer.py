"""Tensors from the CPU to another device, in one copy."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

_ALIGNMENT = 16  # bytes
T = TypeVar("T")


def move_together(values: T, device: torch.device) -> T:
    """The same values with the tensors of the CPU on `device`: all of them in one copy, for which the CPU does not wait.

    Args:
        values: tensors in tuples and dataclasses; what is neither stays, as do tensors on other devices.
    """
    if device.type == "cpu":
        return values
    waiting: list[Tensor] = []
    _each_tensor(values, lambda tensor: waiting.append(tensor) or tensor)  # type: ignore[func-returns-value]
    waiting = [tensor for tensor in waiting if tensor.device.type == "cpu"]
    starts, size = [], 0
    for tensor in waiting:
        starts.append(size)
        size += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
    block = torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
    for tensor, start in zip(waiting, starts, strict=True):
        block[start : start + tensor.nbytes] = tensor.contiguous().flatten().view(torch.uint8)
    moved, next_start = block.to(device, non_blocking=True), iter(starts)

    def on_device(tensor: Tensor) -> Tensor:
        if tensor.device.type != "cpu":
            return tensor
        start = next(next_start)
        return moved[start : start + tensor.nbytes].view(tensor.dtype).view(tensor.shape)

    result: T = _each_tensor(values, on_device)
    return result


def _each_tensor(values: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, tuple):
        return tuple(_each_tensor(each, change) for each in values)
    if is_dataclass(values) and not isinstance(values, type):
        parts = {field.name: _each_tensor(getattr(values, field.name), change) for field in fields(values)}
        return replace(values, **parts)
    return values
