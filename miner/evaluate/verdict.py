"""Whether features are better than others on the same test images, with the uncertainty, in one sentence."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from miner.engine import Record
from miner.statistics import NORMAL_QUANTILE

if TYPE_CHECKING:
    from torch import Tensor


def paired_gain(ours: "Tensor", other: "Tensor") -> tuple[float, float, float]:
    """Gain in accuracy over another classifier on the same images, and its 95 % interval, in points of percent.

    The adjusted interval of Agresti and Min (2005, Statistics in Medicine 24, 729-740): half an image is added to each of the four
    cells of the table right / wrong. So images on which both agree count, and 10 of 10 right against 10 of 10 is not certain.

    Args:
        ours, other: which images each names rightly, bool (n,).
    """
    count = len(ours) + 2.0
    won, lost = (float(both.sum()) + 0.5 for both in (ours & ~other, other & ~ours))
    half = NORMAL_QUANTILE * (won + lost - (won - lost) ** 2 / count) ** 0.5 / count
    middle, gain = (won - lost) / count, (won - lost) / len(ours)
    return 100 * gain, 100 * (middle - half), 100 * (middle + half)


def mean_gain(ours: "Tensor", other: "Tensor", classes: "Tensor") -> tuple[float, float, float]:
    """`paired_gain` of the mean of the accuracies of the classes; the interval is that of a mean over strata.

    In the variance of each class, half an image is added to each of the four cells, as in `paired_gain`: the gain of a class with
    few images is not certain. The gain itself is the middle of the interval.

    Args:
        classes: int64 (n,), the true class of each image.
    """
    difference = ours.float() - other.float()
    groups = [difference[classes == label] for label in sorted(set(classes.tolist()))]
    gain = sum(float(group.mean()) for group in groups) / len(groups)
    variance = sum(_variance_of_mean(group) for group in groups) / len(groups) ** 2
    half = NORMAL_QUANTILE * variance**0.5
    return 100 * gain, 100 * (gain - half), 100 * (gain + half)


def _variance_of_mean(differences: "Tensor") -> float:
    """Of the gain of one class, from -1, 0 or 1 of each image, with half an image added to each cell."""
    count, differing = len(differences) + 2.0, float(differences.abs().sum()) + 1.0
    return (differing / count - (float(differences.sum()) / count) ** 2) / len(differences)


def verdict_sentence(
    ours: "Tensor", others: Mapping[str, "Tensor"], subject: str = "", classes: "Tensor | None" = None
) -> str:
    """One sentence: better or worse than each of the others, which a phrase names ("random weights"), and by how much.

    Args:
        ours: which test images are named rightly, bool (n,).
        others: the same for what it is compared with.
        subject: what is judged; a part of a sentence.
        classes: as of `mean_gain`, where the accuracy is a mean over classes.
    """
    gains = {
        name: paired_gain(ours, other) if classes is None else mean_gain(ours, other, classes)
        for name, other in others.items()
    }
    parts = [_compared(name, *gain) for name, gain in gains.items()]
    return f"{subject} {' and '.join(parts)} (95 % intervals over {len(ours):,} test images)".strip()


def _compared(name: str, gain: float, low: float, high: float) -> str:
    if low <= 0 <= high:
        return f"not clearly other than {name}: {gain:+.1f} points ({low:+.1f} to {high:+.1f})"
    return f"{'better' if gain > 0 else 'worse'} than {name}: {gain:+.1f} points ({low:+.1f} to {high:+.1f})"


PHRASES = {"random": "random weights", "encoder": "the encoder", "raw": "the raw features"}


def verdict_of(right: Mapping[str, "Tensor"], others: "Mapping[str, Tensor] | None" = None, protocol: str = "") -> str:
    """The sentence about the first of some features: beside random weights and the encoder among them, and beside `others`.

    Args:
        right: by the name of the features, which test images are named rightly, bool (n,).
        protocol: how they were classified.
    """
    first = next(iter(right))
    known = {phrase: right[name] for name, phrase in PHRASES.items() if name in right}
    subject = f"{first}{f', {protocol}' if protocol else ''}:"
    return verdict_sentence(right[first], {**known, **(others or {})}, subject)


def verdict_lines(command: str, record: Record) -> list[str]:
    """The sentences of a record, for people; none of a record of earlier versions."""
    found = record.get("verdict") or []
    return [f"{command}: {sentence}" for sentence in ([found] if isinstance(found, str) else found)]
