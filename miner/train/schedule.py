"""Learning rates as arrays indexed by step."""

import numpy as np
from numpy.typing import NDArray


def cosine(peak: float, steps: int) -> NDArray[np.float64]:
    """Half a cosine from `peak` at step 0 towards 0 after the last step (Loshchilov & Hutter 2017, arXiv 1608.03983).

    Returns:
        float64 (steps,).
    """
    return 0.5 * peak * (1.0 + np.cos(np.pi * np.arange(steps) / steps))
