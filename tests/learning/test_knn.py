import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from miner.learning.nearest import accuracy_percent, knn_vote, weighted_vote
from miner.learning.randomness import generator_for


def clustered(count: int, *purpose: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit rows around five overlapping centres."""
    draw = generator_for(0, *purpose)
    labels = torch.randint(0, 5, (count,), generator=draw)
    centres = torch.randn(5, 8, generator=generator_for(0, "centres"))
    return F.normalize(centres[labels] + 1.5 * torch.randn(count, 8, generator=draw), dim=1), labels


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (20, 0.07), (200, 0.1), (300, 1.0)])
def test_equals_sklearn_with_the_same_weights(k: int, temperature: float) -> None:
    gallery, labels = clustered(300, "gallery")
    queries, truth = clustered(120, "queries")
    # sklearn's cosine distance is 1 - cosine.
    oracle = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1.0 - distance) / temperature)
    )
    expected = oracle.fit(gallery.double().numpy(), labels.numpy()).predict(queries.double().numpy())
    ours = knn_vote(queries, gallery, labels, k=k, temperature=temperature, class_count=5)
    assert ours.tolist() == expected.tolist()
    assert 30.0 < accuracy_percent(ours, truth) < 95.0


def test_by_hand() -> None:
    # One vote of cosine 1 against two of cosine 0.6: exp(1 / T) against 2 exp(0.6 / T), equal at T = 0.4 / ln 2 = 0.577.
    gallery = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, -0.8], [-1.0, 0.0]])
    labels = torch.tensor([0, 1, 1, 2])
    query = torch.tensor([[1.0, 0.0]])
    near, far = ({"k": 3, "temperature": temperature, "class_count": 3} for temperature in (0.5, 0.65))
    assert knn_vote(query, gallery, labels, **near).item() == 0
    assert knn_vote(query, gallery, labels, **far).item() == 1


def test_a_tiny_temperature_does_not_overflow() -> None:
    similarities = torch.tensor([[0.9, 0.8, 0.8]])
    assert weighted_vote(similarities, torch.tensor([[2, 1, 1]]), 1e-3, 3).item() == 2


def test_accuracy_is_a_percentage() -> None:
    assert accuracy_percent(torch.tensor([1, 2, 3]), torch.tensor([1, 2, 0])) == 66.667
