"""Multinomial logistic regression by L-BFGS, and the choice of its penalty on held-out rows.

Legend: n rows, d dimensions, c classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from miner.engine import Progress
from miner.learning.nearest import accuracy_percent

# From strong to weak; each fit starts at the solution of the one before. Kornblith et al. 2019 (arXiv 1805.08974) try 45 values.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
_PATIENCE = 3
_MAX_STEPS = 500
_GRADIENT_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Scaler:
    """Scales every dimension to mean 0 and deviation 1 on the rows that it was made from.

    Attributes:
        mean, deviation: (d,).
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Scaler":
        """The scaler of these rows; it only shifts a dimension that does not vary."""
        deviation, mean = torch.std_mean(features, dim=0, correction=0)
        return cls(mean, torch.where(deviation > 0, deviation, 1.0))

    def __call__(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.deviation


def fit_logistic(
    features: Tensor,
    labels: Tensor,
    class_count: int,
    l2: float,
    *,
    start: Tensor | None = None,
    logits_at_once: int = 1 << 24,
) -> Tensor:
    """The minimum of mean cross-entropy + l2 / 2 |W|^2; the bias is not penalised.

    It is scikit-learn's LogisticRegression(C=1 / (n * l2)).

    Args:
        features: float (n, d).
        labels: int64 (n,), in [0, class_count).
        l2: above 0.
        start: (c, d + 1), such as the solution for a similar penalty; zeros if not given.
        logits_at_once: most logits in memory.
    Returns:
        (c, d + 1), W and the bias, with the dtype and on the device of `features`.
    """
    if start is None:
        start = features.new_zeros(class_count, features.shape[1] + 1)
    weights = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=_MAX_STEPS,
        tolerance_grad=_GRADIENT_TOLERANCE,
        history_size=20,
        line_search_fn="strong_wolfe",
    )
    chunk = max(1, logits_at_once // class_count)

    def loss_and_gradient() -> Tensor:
        optimizer.zero_grad()
        total = l2 / 2 * weights[:, :-1].square().sum()
        torch.autograd.backward(total)
        for rows, truth in zip(torch.split(features, chunk), torch.split(labels, chunk), strict=True):
            part = F.cross_entropy(logits(weights, rows), truth, reduction="sum") / len(features)
            torch.autograd.backward(part)
            total = total.detach() + part.detach()
        return total

    optimizer.step(loss_and_gradient)  # type: ignore[no-untyped-call]
    return weights.detach()


def classify(features: Tensor, labels: Tensor, queries: Tensor, class_count: int, l2: float) -> Tensor:
    """Fit the scaled `features`, float (n, d), and name the class of each of `queries`, float (q, d): int64 (q,)."""
    scale = Scaler.of(features)
    weights = fit_logistic(scale(features), labels, class_count, l2)
    return logits(weights, scale(queries)).argmax(dim=1)


def logits(weights: Tensor, features: Tensor) -> Tensor:
    """Scores (n, c) of features (n, d) under weights (c, d + 1)."""
    return torch.addmm(weights[:, -1], features, weights[:, :-1].T)


@dataclass(frozen=True)
class Candidate:
    """The value of a setting that was tried, and its accuracy in percent on the held-out rows."""

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
