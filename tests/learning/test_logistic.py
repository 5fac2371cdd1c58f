import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from miner.evaluate.linear_lbfgs import PENALTIES, classify, try_penalties
from miner.evaluate.selection import best
from miner.learning import logistic
from miner.learning.logistic import Scaler, fit_logistic, logits
from miner.learning.randomness import generator_for


def clustered(count: int, *purpose: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows around five overlapping centres, one dimension constant and the others of very different widths."""
    draw = generator_for(0, *purpose)
    labels = torch.randint(0, 5, (count,), generator=draw)
    centres = torch.randn(5, 12, generator=generator_for(0, "centres"))
    rows = (centres[labels] + 2.0 * torch.randn(count, 12, generator=draw)) * torch.logspace(-2, 2, 12) + 7.0
    rows[:, 3] = 7.0
    return rows.double(), labels


@pytest.mark.parametrize("l2", [1.0, 0.01, 1e-4])
def test_the_solution_is_sklearns(l2: float) -> None:
    features, labels = clustered(300, "train")
    scaled = Scaler.of(features)(features)
    np.testing.assert_allclose(scaled.numpy(), StandardScaler().fit_transform(features.numpy()), atol=1e-9)
    oracle = LogisticRegression(C=1.0 / (300 * l2), tol=1e-9, max_iter=10_000).fit(scaled.numpy(), labels.numpy())
    weights = fit_logistic(scaled, labels, 5, l2)
    probabilities = torch.softmax(logits(weights, scaled), dim=1)
    np.testing.assert_allclose(probabilities.numpy(), oracle.predict_proba(scaled.numpy()), atol=2e-3)
    np.testing.assert_allclose(weights[:, :-1].numpy(), oracle.coef_, atol=2e-4 / l2**0.5 + 1e-4)
    start = torch.randn(5, 13, generator=generator_for(0), dtype=torch.float64)
    again = fit_logistic(scaled, labels, 5, l2, start=start)
    torch.testing.assert_close(torch.softmax(logits(again, scaled), dim=1), probabilities, atol=2e-3, rtol=0)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = clustered(100, "train")
    scaled = Scaler.of(features)(features)
    whole = fit_logistic(scaled, labels, 5, 0.1)
    monkeypatch.setattr(logistic, "_LOGITS_AT_ONCE", 60)
    torch.testing.assert_close(fit_logistic(scaled, labels, 5, 0.1), whole, atol=1e-4, rtol=1e-4)


def test_the_penalty_is_the_one_that_sklearn_finds_best_on_the_validation_rows() -> None:
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
    chosen = best(candidates)
    assert len(tried) == len(PENALTIES) or len(tried) - tried.index(chosen.value) == 4

    predicted = classify(features.float(), labels, queries.float(), 5, chosen.value)
    scaler = StandardScaler().fit(features.numpy())
    oracle = LogisticRegression(C=1.0 / (240 * chosen.value), tol=1e-8, max_iter=10_000)
    oracle.fit(scaler.transform(features.numpy()), labels.numpy())
    expected = torch.from_numpy(oracle.predict(scaler.transform(queries.numpy())))
    assert (predicted == expected).float().mean() > 0.99
    assert (predicted == truth).float().mean() > 0.3
