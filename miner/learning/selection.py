"""Choosing a setting, such as a penalty, by the accuracy on held-out training rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from miner.engine import Progress
from miner.learning.knn import accuracy_percent
from miner.learning.logistic import Scaler, fit_logistic, logits

# From strong to weak; each fit starts at the solution of the one before. Kornblith et al. 2019 (arXiv 1805.08974) try 45 values.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
_PATIENCE = 3


@dataclass(frozen=True)
class Candidate:
    """A setting that was tried.

    Attributes:
        value: of the setting.
        validation: accuracy in percent on the held-out rows.
    """

    value: float
    validation: float


def best_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate with the highest accuracy, the first of equal ones."""
    return max(candidates, key=lambda candidate: candidate.validation)


def try_penalties(
    features: Tensor, labels: Tensor, validation: Tensor, class_count: int, progress: Progress | None = None
) -> list[Candidate]:
    """Accuracy of logistic regression on the held-out rows, for each penalty; ends after three that are no better than the best.

    Args:
        features: float32 (n, d).
        labels: int64 (n,).
        validation: bool (n,), the held-out rows; the other rows are fitted.
        class_count: of all labels.
        progress: counts the fits.
    """
    scale = Scaler.of(features[~validation])
    fitted, held_out = scale(features[~validation]), scale(features[validation])
    weights: Tensor | None = None
    candidates: list[Candidate] = []
    for l2 in PENALTIES:
        weights = fit_logistic(fitted, labels[~validation], class_count, l2, start=weights)
        accuracy = accuracy_percent(logits(weights, held_out).argmax(dim=1), labels[validation])
        candidates.append(Candidate(l2, accuracy))
        if progress is not None:
            progress.advance()
        if len(candidates) - candidates.index(best_candidate(candidates)) > _PATIENCE:
            break
    return candidates
