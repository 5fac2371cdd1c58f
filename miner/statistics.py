"""Intervals of means and shares, and the skewness of a distribution.

Legend: n values, nu = n - 1 degrees of freedom.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054  # a normal variable lies between -1.96 and 1.96 with 95 % probability


@dataclass(frozen=True)
class MeanInterval:
    """The mean of some values and half the width of its 95 % interval; None for a single value."""

    values: tuple[float, ...]
    mean: float
    half_width: float | None


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """The mean of at least one value and its 95 % interval by Student's t, for a normal distribution of unknown width."""
    count, half_width = len(values), None
    if count > 1:
        half_width = student_quantile(count - 1, CONFIDENCE) * (stdev(values) / math.sqrt(count))
    return MeanInterval(tuple(values), fmean(values), half_width)


def student_quantile(nu: int, confidence: float) -> float:
    """The t such that a variable of Student's distribution lies between -t and t with this probability; `nu` is 1 or more."""
    low, high = 0.0, 1.0
    while student_probability(high, nu) < confidence:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if student_probability(middle, nu) < confidence else (low, middle)
    return high


def student_probability(t: float, nu: int) -> float:
    """The probability that a variable of Student's distribution lies between -t and t.

    The finite series for whole degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4), with theta = atan(t / sqrt(nu)).
    """
    theta = math.atan(t / math.sqrt(nu))
    odd = nu % 2
    term = total = math.cos(theta) if odd else 1.0
    for k in range(2 + odd, nu - 1, 2):
        term *= (k - 1) / k * math.cos(theta) ** 2
        total += term
    if not odd:
        return math.sin(theta) * total
    return (theta + math.sin(theta) * total * (nu > 1)) * 2 / math.pi


def seeds_needed(deviation: float, difference: float, power: float = 0.8) -> int:
    """How many seeds a paired comparison needs so that its 95 % interval excludes 0 with this probability.

    The smallest n with (t(0.975) + t(power)) * deviation / sqrt(n) <= difference, for Student's t of n - 1 degrees of freedom.

    Args:
        deviation: the standard deviation of the difference between two arms over seeds, in the unit of `difference`.
        difference: the true difference to be shown, above 0.
    Returns:
        2 or more.
    """
    needed = 2
    while (student_quantile(needed - 1, CONFIDENCE) + student_quantile(needed - 1, 2 * power - 1)) * deviation > (
        difference * math.sqrt(needed)
    ):
        needed += 1
    return needed


def wilson_interval(share: float, count: float, z: float = NORMAL_QUANTILE) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, inside [0, 1].

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927), 209-212.

    Args:
        share: the share of successes, 0 to 1.
        count: the number of independent observations, above 0; it may be an effective count, so not a whole number.
        z: the quantile of the normal distribution that the interval takes.
    """
    squared = z**2 / count
    middle = (share + squared / 2) / (1 + squared)
    half = math.sqrt(share * (1 - share) * squared + squared**2 / 4) / (1 + squared)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def skewness(values: NDArray[np.integer]) -> float:
    """The third standardised moment of a population; 0 where all values are equal."""
    deviation = values - values.mean()
    spread = np.sqrt((deviation**2).mean())
    return float((deviation**3).mean() / spread**3) if spread > 0 else 0.0
