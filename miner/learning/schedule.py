"""Learning rates and weight decays as arrays indexed by step."""

import numpy as np
from numpy.typing import NDArray


def cosine(peak: float, steps: int, warmup_steps: int = 0) -> NDArray[np.float64]:
    """A straight rise to `peak`, then half a cosine towards 0 after the last step (Loshchilov & Hutter 2017, arXiv 1608.03983).

    The rise (Goyal et al. 2017, arXiv 1706.02677) begins at peak / warmup_steps, so that no step is lost, and reaches the peak at
    the last step of the warm-up.

    Args:
        peak: the highest value; without warm-up the value of step 0.
        steps: the number of steps of the whole run.
        warmup_steps: the number of steps of the rise, below `steps`.
    Returns:
        float64 (steps,).
    """
    rise = peak * np.arange(1, warmup_steps + 1) / max(1, warmup_steps)
    falling_steps = steps - warmup_steps
    fall = 0.5 * peak * (1.0 + np.cos(np.pi * np.arange(falling_steps) / falling_steps))
    return np.concatenate([rise, fall])


def cosine_between(start: float, end: float, steps: int) -> NDArray[np.float64]:
    """Half a cosine from `start` at step 0 towards `end` after the last step, float64 (steps,)."""
    return end + cosine(start - end, steps)
