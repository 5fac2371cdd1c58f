"""The FAISS engine: a flat index, exact up to float32 rounding, which the margin takes care of."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Vectors
from miner.errors import MinerError, UsageError
from miner.machine.device import worker_device
from miner.pairs.arithmetic.cosine import float32_margin, unit_rows
from miner.pairs.engines.faiss_search import Pairs, neighbour_hits, range_hits, sorted_pairs

GPU_NEIGHBOURS = 2048  # the most that a flat index on a GPU answers


class FaissEngine:
    """Proposes every pair whose cosine may reach a threshold.

    On the CPU by `IndexFlatIP.range_search`. FAISS has no range search on a GPU; there the nearest neighbours are asked for, as
    many as it takes to leave the band, and the rows for which `most` do not suffice are searched on the CPU.

    Args:
        units: float32 (n, d), rows of length 1 (`unit_rows`).
        threshold: lowest cosine wanted.
        neighbours: a flat index of `units` to ask for nearest neighbours first (`gpu_index`).
        most: highest number of neighbours that it answers.
    """

    def __init__(
        self, units: NDArray[np.float32], threshold: float, neighbours: Any = None, most: int = GPU_NEIGHBOURS
    ) -> None:
        self.vectors = units
        self.lowest = threshold - float32_margin(units.shape[1])
        self.neighbours, self.most = neighbours, most

    @cached_property
    def _flat(self) -> Any:
        return flat_index(self.vectors)

    def candidates(self, start: int, stop: int, limit: int, first: int = 0) -> Pairs:
        """Row numbers a < b with a in [start, stop) and b >= first of all pairs that may reach the threshold, by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        rows = np.arange(start, stop, dtype=np.int64)
        if self.neighbours is None:
            return range_hits(self._flat.range_search, self.vectors, rows, self.lowest, limit, first)
        near, rest = neighbour_hits(self.neighbours.search, self.vectors, rows, self.lowest, limit, self.most, first)
        if not len(rest):
            return near
        far = range_hits(self._flat.range_search, self.vectors, rest, self.lowest, limit - len(near[0]), first)
        return sorted_pairs(near, far)


def faiss_engine(vectors: Vectors, threshold: float, device: str) -> FaissEngine:
    """The engine on the device of this process; `auto` is a GPU if FAISS can use one.

    Raises:
        UsageError: the device is a GPU, and the installed FAISS cannot use it.
        MinerError: the vectors do not fit on it.
    """
    units = unit_rows(vectors.read(0, len(vectors)))
    chosen = worker_device(device)
    on_gpu = chosen.type == "cuda" and (device != "auto" or has_gpu())
    return FaissEngine(units, threshold, gpu_index(units, chosen.index or 0) if on_gpu else None)


def flat_index(units: NDArray[np.float32]) -> Any:
    """A FAISS index on the CPU that holds the rows as they are."""
    import faiss

    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    return index


def gpu_index(units: NDArray[np.float32], device: int) -> Any:
    """A FAISS index on a GPU that holds the rows as they are.

    Raises:
        UsageError: the installed FAISS cannot use a GPU.
        MinerError: the rows do not fit.
    """
    import faiss

    if not has_gpu():
        raise UsageError(
            "The installed FAISS sees no GPU. Use --engine exact, which needs none of it, --device cpu, or install the build for "
            "GPUs: pip install faiss-gpu (after pip uninstall faiss-cpu)."
        )
    config = faiss.GpuIndexFlatConfig()
    config.device = device
    resources = faiss.StandardGpuResources()
    try:
        index = faiss.GpuIndexFlatIP(resources, units.shape[1], config)
        index.add(units)
    except RuntimeError as error:
        raise MinerError(
            f"{len(units):,} vectors ({units.nbytes / 2**30:.1f} GiB) do not fit on the GPU for FAISS ({error}). Use --device "
            "cpu, or --engine exact."
        ) from error
    return index


def has_gpu() -> bool:
    """Whether the installed FAISS can use a GPU here."""
    import faiss

    return hasattr(faiss, "GpuIndexFlatIP") and faiss.get_num_gpus() > 0
