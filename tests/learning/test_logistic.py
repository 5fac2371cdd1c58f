import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from miner.learning.logistic import Scaler, fit_logistic, logits
from miner.learning.randomness import generator_for
from tests.learning.clusters import clustered


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


def test_chunks_change_nothing() -> None:
    features, labels = clustered(100, "train")
    scaled = Scaler.of(features)(features)
    whole = fit_logistic(scaled, labels, 5, 0.1)
    parts = fit_logistic(scaled, labels, 5, 0.1, logits_at_once=60)
    torch.testing.assert_close(parts, whole, atol=1e-4, rtol=1e-4)
