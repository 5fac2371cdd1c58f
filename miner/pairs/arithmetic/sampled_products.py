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

    On a CPU, the sampled product of torch (SDDMM) reads each row where it lies. A torch that was built without it gathers both
    rows of each position first, which took ten times as long on vectors of 1,280 dimensions. A GPU always gathers.

    Args:
        left, right: (m, d) and (n, d) of one dtype, float32 or float64.
        rows: row numbers of `left` in ascending order, (k,).
        columns: row numbers of `right`, (k,).
    Returns:
        Sums of d products in the dtype, (k,). The order of summation depends on the processor only.
    """
    if not len(rows):
        return np.empty(0, torch.empty(0, dtype=left.dtype).numpy().dtype)
    if left.device.type != "cpu":
        return _gathered(left, right, rows, columns, _GPU_CHUNK)
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


def _gathered(left: Tensor, right: Tensor, rows: Rows, columns: Rows, chunk: int = 1024) -> NDArray[np.floating]:
    a, b = (torch.from_numpy(numbers).to(left.device) for numbers in (rows, columns))
    parts = [
        (left[a[start : start + chunk]] * right[b[start : start + chunk]]).sum(dim=1)
        for start in range(0, len(a), chunk)
    ]
    return np.asarray(torch.cat(parts).cpu().numpy())
