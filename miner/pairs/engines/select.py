"""A join on several devices: a worker process per device, which runs its units there."""

import torch

from miner.artifacts.embeddings.vectors import Vectors
from miner.engine.units import LocalExecutor, seat
from miner.machine.device import resolve_device, resolve_devices
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.exact_gpu import GpuEngine


def device_here(devices: str) -> torch.device:
    """The device of this process, of those behind an option: that of its seat, or the first."""
    return resolve_device(seat() or resolve_devices(devices)[0])


def executor_for(devices: str) -> LocalExecutor:
    """Where units run: a process per device if there are several, else this process."""
    seats = resolve_devices(devices)
    return LocalExecutor(len(seats), tuple(seats)) if len(seats) > 1 else LocalExecutor()


def exact_engine(vectors: Vectors, threshold: float, devices: str, memory_bytes: float) -> ExactEngine | GpuEngine:
    """The exact engine of this process: on its GPU if it has one, else on the CPU (Apple's GPUs have no float64).

    Args:
        vectors: as stored.
        threshold: lowest cosine wanted.
        devices: the option.
        memory_bytes: what the engine on the CPU may hold; the other one goes by its device.
    """
    device = device_here(devices)
    if device.type == "cuda":
        return GpuEngine(vectors, threshold, device)
    return ExactEngine(vectors, threshold, memory_bytes)
