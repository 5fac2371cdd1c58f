"""Which engine searches: the choice behind `--engine` and `--device`."""

from collections.abc import Callable
from functools import partial

from miner.artifacts.embeddings.vectors import Vectors
from miner.artifacts.pairs.band import Band
from miner.machine.device import worker_device
from miner.pairs.engines.approximate import ApproximateSearch
from miner.pairs.engines.base import Engine
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.exact_gpu import GpuEngine
from miner.pairs.options import PairsOptions


def engine_maker(
    options: PairsOptions, vectors: Vectors, band: Band, memory_bytes: float, pairs: float | None = None
) -> Callable[[], Engine]:
    """The function that makes the engine, in each process that searches.

    Args:
        memory_bytes: for the search, with the vectors if they lie in memory.
        pairs: as of `exact_engine`.
    """
    if options.approximation():
        return ApproximateSearch(options, vectors, band)
    if options.engine == "faiss":
        from miner.pairs.engines.faiss_flat import faiss_engine

        return partial(faiss_engine, vectors, band.low, options.device)
    return partial(exact_engine, vectors, band.low, options.device, memory_beside(vectors, memory_bytes), pairs)


def memory_beside(vectors: Vectors, memory_bytes: float) -> float:
    """What is left of the memory beside vectors that lie in it."""
    return memory_bytes - (vectors.dim * vectors.dtype.itemsize * len(vectors) if vectors.in_memory else 0)


def exact_engine(
    vectors: Vectors, threshold: float, device: str, memory_bytes: float, pairs: float | None = None
) -> ExactEngine | GpuEngine:
    """The exact engine of this process: on its GPU if it has one, else on the CPU (Apple's GPUs have no float64).

    Args:
        threshold: lowest cosine of a pair.
        device: the value of --device.
        memory_bytes: for the engine on the CPU; the engine on a GPU uses the free memory of its device.
        pairs: how many pairs of rows are searched, for the plan of the engine on the CPU; by default all.
    """
    chosen = worker_device(device)
    if chosen.type == "cuda":
        return GpuEngine(vectors, threshold, chosen)
    return ExactEngine(vectors, threshold, memory_bytes, pairs=pairs)
