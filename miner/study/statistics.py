"""Means over seeds with their intervals.

Legend: n values, nu = n - 1 degrees of freedom.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        values: one per seed.
        mean: of them.
        half_width: of the 95 % interval around the mean; None where one seed allows none.
    """

    values: tuple[float, ...]
    mean: float
    half_width: float | None


def estimate(values: Sequence[float]) -> Estimate:
    """The mean and its 95 % interval by Student's t, for values from a normal distribution of unknown width.

    Args:
        values: at least one.
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(tuple(values), mean, None)
    error = statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(tuple(values), mean, student_quantile(len(values) - 1, _CONFIDENCE) * error)


def student_quantile(nu: int, confidence: float) -> float:
    """The t that a variable of Student's distribution stays within, on both sides, with this probability.

    Args:
        nu: at least 1.
        confidence: above 0 and below 1.
    """
    low, high = 0.0, 1.0
    while within(high, nu) < confidence:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if within(middle, nu) < confidence else (low, middle)
    return high


def within(t: float, nu: int) -> float:
    """Probability that a variable of Student's distribution is between -t and t.

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
