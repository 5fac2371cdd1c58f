import pytest
import torch
from scipy.stats import rankdata

from miner.train.data.pair_weights import rank_weights


def test_weights_are_ranks_with_ties_in_the_middle() -> None:
    scores = torch.tensor([2.0, -3.0, 2.0, 0.5, 7.0, 2.0], dtype=torch.float64)
    weights = rank_weights(scores)
    expected = (2 * rankdata(scores.numpy()) - 1) / len(scores)
    torch.testing.assert_close(weights, torch.from_numpy(expected))
    assert weights.mean().item() == pytest.approx(1) and weights.min() == 1 / 6 and weights.max() == 11 / 6


def test_equal_scores_give_equal_weights() -> None:
    assert rank_weights(torch.full((5,), 3.0)).tolist() == [1.0] * 5
