"""Multinomial logistic regression by L-BFGS, as pure functions.

Legend: n rows, d dimensions, c classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

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
        class_count: c.
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
