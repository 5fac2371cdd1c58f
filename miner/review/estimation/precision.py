"""The precision of all pairs, estimated from a few labels, with an interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from miner.statistics import NORMAL_QUANTILE, wilson_interval

METHOD = (
    "stratified by {}: sum of W_h p_h, with the interval of Price & Bonett (2004); Wilson's interval per slice; "
    "both with finite population correction"
)


@dataclass(frozen=True)
class Stratum:
    """A slice of similarity: number of pairs, which may be an estimate; of pairs with a verdict; and of verdicts `same`."""

    pairs: float
    labelled: int
    same: int


@dataclass(frozen=True)
class Estimate:
    """A share with its 95 % confidence interval; `value` is None without labels."""

    value: float | None
    low: float
    high: float

    def record(self) -> dict[str, float | None]:
        """The estimate as JSON, with six decimals."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if number is None else round(number, 6) for name, number in numbers.items()}


def wilson(stratum: Stratum) -> Estimate:
    """The share of `same` in one slice, with Wilson's interval; the interval is a point if all pairs are labelled."""
    if not stratum.labelled:
        return Estimate(None, 0.0, 1.0)
    share, n = stratum.same / stratum.labelled, effective_labels(stratum)
    if math.isinf(n):
        return Estimate(share, share, share)
    return _around(share, *wilson_interval(share, n))


def stratified(strata: Sequence[Stratum], z: float = NORMAL_QUANTILE) -> Estimate:
    """The share of `same` among all pairs of all slices.

    With W_h = N_h / N the slice's share of all pairs, n_h its effective labels, p_h their share of `same`, k slices:

        p = sum W_h p_h,   q_h = (n_h p_h + 2/k) / (n_h + 4/k),
        sum W_h q_h  -+  z sqrt(sum W_h^2 q_h (1 - q_h) / (n_h + 4/k)).

    All slices share four imaginary labels (z^2, rounded). Without them the interval would vanish if all labels of a slice agree,
    as they mostly do in a good band. A slice without labels can have any precision from 0 to 1, so its whole weight widens the
    interval. Such a slice is left out of p.

    Source: Price & Bonett, An improved confidence interval for a linear function of binomial proportions, Computational
    Statistics & Data Analysis 45 (2004), 449-456. The finite population correction is ours.

    Args:
        z: quantile of the normal distribution: that of a 95 % interval, or a larger one for several intervals at once.
    """
    total = sum(stratum.pairs for stratum in strata)
    known, imagined = [stratum for stratum in strata if stratum.labelled], round(z**2)
    if not known:
        return Estimate(None, 0.0, 1.0)
    value = centre = variance = weight = 0.0
    for stratum in known:
        share, part = stratum.pairs / total, stratum.same / stratum.labelled
        imaginary = imagined / len(known) / (effective_labels(stratum) + imagined / len(known))
        adjusted = part + (0.5 - part) * imaginary
        weight += share
        value += share * part
        centre += share * adjusted
        variance += share**2 * adjusted * (1 - adjusted) * imaginary * len(known) / imagined
    half = z * math.sqrt(variance)
    return _around(value / weight, centre - half, min(weight, centre + half) + (1 - weight))


def effective_labels(stratum: Stratum) -> float:
    """The number of draws with replacement that has the same variance: n (N - 1) / (N - n), infinite if all pairs are labelled.

    With that number of draws, the binomial distribution has the variance of the hypergeometric one.
    """
    left = stratum.pairs - stratum.labelled
    return stratum.labelled * (stratum.pairs - 1) / left if left > 0 else math.inf


def _around(value: float, low: float, high: float) -> Estimate:
    """An interval inside [0, 1] that contains the value, also after rounding."""
    return Estimate(value, max(0.0, min(low, value)), min(1.0, max(high, value)))
