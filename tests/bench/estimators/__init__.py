"""Label-free estimates of the precision of pairs: one idea per file, each a pure function, studied by `precision.py`.

A slice is the pairs between two similarities. Every estimator gives one number in [0, 1] per slice: the share of its pairs
whose two images would be of one class.
"""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Slices = list[tuple[Rows, Rows]]
Units = NDArray[np.float32]
Estimates = NDArray[np.float64]


def share(values: NDArray[np.generic]) -> float:
    """Mean as a share between 0 and 1; NaN of nothing."""
    return float(np.clip(np.mean(values), 0, 1)) if len(values) else float("nan")
