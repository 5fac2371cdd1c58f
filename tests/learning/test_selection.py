import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from miner.learning.logistic import PENALTIES, best_candidate, classify, try_penalties
from tests.learning.clusters import clustered


def test_penalty_is_the_one_that_sklearn_finds_best() -> None:
    features, labels = clustered(240, "train")
    queries, truth = clustered(200, "test")
    validation = torch.arange(240) % 3 == 0
    candidates = try_penalties(features.float(), labels, validation, 5)
    scaler = StandardScaler().fit(features[~validation].numpy())
    fitted, held_out = (scaler.transform(features[rows].numpy()) for rows in (~validation, validation))
    for candidate in candidates:
        oracle = LogisticRegression(C=1.0 / (len(fitted) * candidate.value), tol=1e-8, max_iter=10_000)
        accuracy = oracle.fit(fitted, labels[~validation].numpy()).score(held_out, labels[validation].numpy())
        assert candidate.validation == pytest.approx(100 * accuracy, abs=100 / 80 + 1e-3)
    tried = [candidate.value for candidate in candidates]
    assert tried == list(PENALTIES[: len(tried)])
    chosen = best_candidate(candidates)
    assert len(tried) == len(PENALTIES) or len(tried) - tried.index(chosen.value) == 4

    predicted = classify(features.float(), labels, queries.float(), 5, chosen.value)
    scaler = StandardScaler().fit(features.numpy())
    oracle = LogisticRegression(C=1.0 / (240 * chosen.value), tol=1e-8, max_iter=10_000)
    oracle.fit(scaler.transform(features.numpy()), labels.numpy())
    expected = torch.from_numpy(oracle.predict(scaler.transform(queries.numpy())))
    assert (predicted == expected).float().mean() > 0.99
    assert (predicted == truth).float().mean() > 0.3
