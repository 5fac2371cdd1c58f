"""A join on several devices: a worker process per device, which runs its units there."""

from miner.artifacts.embeddings.vectors import Vectors
from miner.machine.device import worker_device
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.exact_gpu import GpuEngine


def exact_engine(vectors: Vectors, threshold: float, devices: str, memory_bytes: float) -> ExactEngine | GpuEngine:
    """The exact engine of this process: on its GPU if it has one, else on the CPU (Apple's GPUs have no float64).

    Args:
        vectors: as stored.
        threshold: lowest cosine wanted.
        devices: the option.
        memory_bytes: what the engine on the CPU may hold; the other one goes by its device.
    """
    device = worker_device(devices)
    if device.type == "cuda":
        return GpuEngine(vectors, threshold, device)
    return ExactEngine(vectors, threshold, memory_bytes)
