"""Inner products at chosen positions of a tile, without the rest of the tile."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.artifacts.embeddings.vectors import Rows

# torch warns that sparse CSR tensors are beta; `warnings.catch_warnings` around their use would not be safe in threads.
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)


_GPU_CHUNK = 1 << 16  # positions


def products_at(left: Tensor, right: Tensor, rows: Rows, columns: Rows) -> NDArray[np.floating]:
    """<left[rows[i]], right[columns[i]]> for each i.

    On a CPU, each row is read where it lies: float32 by FAISS, in half the time of the sampled product of torch (SDDMM), which
    is for float64. A torch that was built without it, and a GPU, gather both rows of each position first; on a CPU, that took ten
    times as long on vectors of 1,280 dimensions.

    Args:
        left, right: (m, d) and (n, d) of one dtype, float32 or float64.
        rows: row numbers of `left` in ascending order, int64 (k,).
        columns: row numbers of `right`, (k,).
    Returns:
        Sums of d products in the dtype, (k,). The order of summation depends on the processor only.
    """
    if not len(rows):
        return np.empty(0, torch.empty(0, dtype=left.dtype).numpy().dtype)
    if left.device.type != "cpu":
        return _gathered(left, right, rows, columns, _GPU_CHUNK)
    if left.dtype == torch.float32:
        return _indexed(left, right, rows, columns)
    starts = np.zeros(len(left) + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=len(left)), out=starts[1:])
    positions = torch.sparse_csr_tensor(
        torch.from_numpy(starts),
        torch.from_numpy(np.ascontiguousarray(columns)),
        left.new_zeros(len(rows)),
        (len(left), len(right)),
        check_invariants=False,
    )
    try:
        sampled = torch.sparse.sampled_addmm(positions, left, right.T, beta=0.0)
    except (RuntimeError, NotImplementedError):
        return _gathered(left, right, rows, columns)
    products: NDArray[np.floating] = sampled.values().numpy()
    return products


def _indexed(left: Tensor, right: Tensor, rows: Rows, columns: Rows) -> NDArray[np.float32]:
    import faiss

    x, y = left.contiguous(), right.contiguous()
    places = [np.ascontiguousarray(numbers, np.int64) for numbers in (rows, columns)]
    products = np.empty(len(rows), np.float32)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # of this thread; the callers share the work themselves
    try:
        faiss.pairwise_indexed_inner_product(  # type: ignore[attr-defined]
            x.shape[1],
            len(rows),
            *(faiss.swig_ptr(array) for array in (x.numpy(), places[0], y.numpy(), places[1], products)),
        )
    finally:
        faiss.omp_set_num_threads(threads)
    return products


def _gathered(left: Tensor, right: Tensor, rows: Rows, columns: Rows, chunk: int = 1024) -> NDArray[np.floating]:
    a, b = (torch.from_numpy(numbers).to(left.device) for numbers in (rows, columns))
    parts = [
        (left[a[start : start + chunk]] * right[b[start : start + chunk]]).sum(dim=1)
        for start in range(0, len(a), chunk)
    ]
    return np.asarray(torch.cat(parts).cpu().numpy())
