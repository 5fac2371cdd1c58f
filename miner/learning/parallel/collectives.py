"""A run on several processes: the rank of this one, and what the processes exchange.

Each process holds an equal, consecutive part of every batch, in the order of the ranks. The loss of the run is the mean of the
processes' losses, so gradients are averaged. A loss that needs the whole batch gathers it with its gradient. In a run on one
process, all functions here are the identity.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn

from miner.learning.precision import widened


def world_size() -> int:
    """The number of processes of this run."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """The rank of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def wait_for_all() -> None:
    """Continue when every process has come here."""
    if world_size() > 1:
        distributed.barrier()


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of the ranks.

    The gradient of a row is the sum over all processes that used it; without this sum, it would shrink with their number.

    Args:
        rows: (batch, ...), of one shape on all processes.
    Returns:
        (world_size * batch, ...), the same on all processes.
    """
    if world_size() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def rows_of_this_process(rows: Tensor) -> Tensor:
    """This process's part of the rows of a whole batch: (world_size * batch, ...) -> (batch, ...)."""
    return rows.chunk(world_size())[rank()] if world_size() > 1 else rows


def own_device(device: torch.device) -> torch.device:
    """The device of this process; a GPU always with its index, and as torch's current one.

    Where several processes share a machine, each takes the GPU of its local rank. A worker of a cluster that sees one GPU takes it.
    """
    if device == torch.device("cuda"):
        shared = world_size() > 1 and torch.cuda.device_count() > 1
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) if shared else 0)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def columns_of_this_process(columns: Tensor) -> Tensor:
    """Its columns of a tensor over the whole batch: (k, world_size * batch) -> (k, batch); see `rows_of_this_process`."""
    return rows_of_this_process(columns.T).T


def average_step(method: nn.Module, numbers: Mapping[str, Tensor]) -> None:
    """After the backward pass, replace gradients, running statistics of normalisations, and numbers by their means.

    This replaces DistributedDataParallel, which rebuilds its buckets after the first step: a resumed run would add in another order
    than an unbroken one. Its wrapper also renames the state in checkpoints. Here, one exchange serves all.

    Args:
        method: with gradients.
        numbers: the numbers of this process, float32 scalars.
    """
    gradients = [parameter.grad for parameter in method.parameters() if parameter.grad is not None]
    average_in_place([*gradients, *_running_statistics(method), *(number.detach() for number in numbers.values())])


@torch.no_grad()
def average_in_place(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one exchange.

    Args:
        tensors: floating point, of one dtype and device; the same number and shapes on all processes.
    """
    if world_size() == 1:
        return
    parts = list(tensors)
    flat = torch.cat([part.flatten() for part in parts])
    distributed.all_reduce(flat)
    flat /= world_size()
    for part, mean in zip(parts, torch.split(flat, [part.numel() for part in parts]), strict=True):
        part.copy_(mean.view_as(part))


def _running_statistics(module: nn.Module) -> list[Tensor]:
    """The running statistics of all batch normalisations; each process has those of its part of the batch."""
    return [
        buffer for name, buffer in module.named_buffers() if name.rpartition(".")[2] in ("running_mean", "running_var")
    ]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = widened(gradient).clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return rows_of_this_process(total).to(gradient.dtype)
