"""The faiss engine: a flat index, exact because its threshold is lowered by the margin of float32."""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Vectors
from miner.errors import MinerError, UsageError
from miner.machine.device import worker_device
from miner.pairs.arithmetic.cosine import float32_margin, unit_rows
from miner.pairs.engines.base import RowPairs
from miner.pairs.engines.faiss_search import knn_pairs, range_search_pairs, sorted_pairs
from miner.text import counted

GPU_NEIGHBOURS = 2048  # the most that a flat index on a GPU answers


class FaissEngine:
    """Proposes every pair whose cosine may reach a threshold.

    On a CPU it calls `IndexFlatIP.range_search`. FAISS has no range search on a GPU. There the engine asks for the nearest
    neighbours of each row, and searches a row on the CPU if all `largest_k` neighbours reach the threshold.

    Args:
        unit_vectors: float32 (n, d), rows of length 1 (`unit_rows`).
        threshold: lowest cosine of a pair.
        knn_index: a flat index of `unit_vectors` to ask for nearest neighbours first (`gpu_index`).
        largest_k: most neighbours that `knn_index` answers.
    """

    def __init__(
        self,
        unit_vectors: NDArray[np.float32],
        threshold: float,
        knn_index: Any = None,
        largest_k: int = GPU_NEIGHBOURS,
    ) -> None:
        self.vectors = unit_vectors
        self.lowest_score = threshold - float32_margin(unit_vectors.shape[1])
        self.knn_index, self.largest_k = knn_index, largest_k
        self._flat: Any = None

    def candidates(self, start: int, stop: int, limit: int, min_b: int = 0) -> RowPairs:
        """See `Engine.candidates`."""
        rows = np.arange(start, stop, dtype=np.int64)
        near: RowPairs = (rows[:0], rows[:0])
        if self.knn_index is not None:
            search = self.knn_index.search
            near, rows = knn_pairs(search, self.vectors, rows, self.lowest_score, limit, self.largest_k, min_b)
        if not len(rows):
            return near
        if self._flat is None:
            self._flat = flat_index(self.vectors)
        remaining = limit - len(near[0])
        far = range_search_pairs(self._flat.range_search, self.vectors, rows, self.lowest_score, remaining, min_b)
        return sorted_pairs(near, far)


def faiss_engine(vectors: Vectors, threshold: float, device: str) -> FaissEngine:
    """The engine on the device of this process; `auto` is a GPU if FAISS can use one. Raises the errors of `gpu_index`."""
    unit_vectors = unit_rows(vectors.read(0, len(vectors)))
    chosen = worker_device(device)
    on_gpu = chosen.type == "cuda" and (device != "auto" or has_gpu())
    return FaissEngine(unit_vectors, threshold, gpu_index(unit_vectors, chosen.index or 0) if on_gpu else None)


def flat_index(unit_vectors: NDArray[np.float32]) -> Any:
    """A FAISS index on the CPU that holds the rows as they are."""
    index = faiss.IndexFlatIP(unit_vectors.shape[1])
    index.add(unit_vectors)
    return index


def gpu_index(unit_vectors: NDArray[np.float32], device: int) -> Any:
    """A FAISS index on a GPU that holds the rows as they are.

    Raises:
        UsageError: the installed FAISS cannot use a GPU.
        MinerError: the rows do not fit.
    """
    if not has_gpu():
        raise UsageError(
            "The installed FAISS finds no GPU. Use --engine exact, which needs no FAISS, or --device cpu, or install FAISS for "
            "GPUs: pip uninstall faiss-cpu, then pip install faiss-gpu."
        )
    config = faiss.GpuIndexFlatConfig()
    config.device = device
    resources = faiss.StandardGpuResources()
    try:
        index = faiss.GpuIndexFlatIP(resources, unit_vectors.shape[1], config)
        index.add(unit_vectors)
    except RuntimeError as error:
        raise MinerError(
            f"{counted(len(unit_vectors), 'vector')} ({unit_vectors.nbytes / 2**30:.1f} GiB) do not fit on the GPU "
            f"for FAISS ({error}). "
            "Use --device cpu, or --engine exact."
        ) from error
    return index


def has_gpu() -> bool:
    """Whether the installed FAISS can use a GPU here."""
    return hasattr(faiss, "GpuIndexFlatIP") and faiss.get_num_gpus() > 0
