"""Accuracy of features with a linear classifier and with nearest neighbours. Test labels choose nothing."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.engine import Record
from miner.learning.logistic import best_candidate, classify, try_penalties
from miner.learning.nearest import PROTOCOLS, accuracy_percent, knn_vote

K, TEMPERATURE = PROTOCOLS[1]
HELD_OUT = 0.2


def score(
    candidates: dict[float, NDArray[np.float32]],
    labels: NDArray[np.int64],
    truth: NDArray[np.int64],
    seed: int,
    device: torch.device,
) -> Record:
    """Test accuracy in percent of the candidate that is best on held-out training images, for each classifier.

    Args:
        candidates: features by their setting: unit rows, float32 (n + m, d), training images first.
        labels, truth: the labels of the n training images, and of the m test images.
        seed: the seed of the choice of held-out images.
    Returns:
        For `linear` and `knn`: test, validation, own (the setting of the best candidate); for `linear` also its penalty.
    """
    train, test = (torch.from_numpy(part).to(device) for part in (labels, truth))
    classes = int(max(labels.max(), truth.max())) + 1
    features = {key: torch.from_numpy(rows).to(device) for key, rows in candidates.items()}
    return {
        "linear": score_linear(features, train, test, classes, seed)[0],
        "knn": _knn(features, train, test, classes, seed),
    }


def score_linear(
    candidates: dict[float, Tensor], labels: Tensor, truth: Tensor, classes: int, seed: int
) -> tuple[Record, Tensor]:
    """The `linear` part of `score`, and which test images are named rightly, bool (m,)."""
    count = len(labels)
    validation = held_out(count, seed).to(labels.device)
    chosen = {
        own: best_candidate(try_penalties(features[:count], labels, validation, classes))
        for own, features in candidates.items()
    }
    own = max(chosen, key=lambda own: chosen[own].validation)
    train, test = candidates[own][:count], candidates[own][count:]
    predicted = classify(train, labels, test, classes, chosen[own].value)
    record = {
        "test": accuracy_percent(predicted, truth),
        "validation": chosen[own].validation,
        "penalty": chosen[own].value,
        "own": own,
    }
    return record, predicted == truth


def _knn(candidates: dict[float, Tensor], labels: Tensor, truth: Tensor, classes: int, seed: int) -> Record:
    count = len(labels)
    validation = held_out(count, seed).to(labels.device)

    def vote(queries: Tensor, gallery: Tensor, known: Tensor) -> Tensor:
        k = min(K, len(gallery))
        return knn_vote(queries, gallery, known, k=k, temperature=TEMPERATURE, class_count=classes)

    accuracies = {}
    for own, features in candidates.items():
        train = features[:count]
        predicted = vote(train[validation], train[~validation], labels[~validation])
        accuracies[own] = accuracy_percent(predicted, labels[validation])
    own = max(accuracies, key=lambda own: accuracies[own])
    test = accuracy_percent(vote(candidates[own][count:], candidates[own][:count], labels), truth)
    return {"test": test, "validation": accuracies[own], "own": own}


def held_out(count: int, seed: int) -> Tensor:
    """The training rows on which settings are chosen, bool (count,): a random fifth."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order < max(1, round(HELD_OUT * count))
