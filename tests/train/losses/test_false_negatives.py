import pytest
import torch

from miner.train.losses.false_negatives import found_false_negatives, score_at, support_scores
from tests.learning.numbers import features, unit_features


def test_a_score_is_the_highest_cosine_of_any_view() -> None:
    views, columns = unit_features(6, 5, "views").view(2, 3, 5), unit_features(8, 5, "columns")
    absent = torch.arange(8).expand(3, -1) < 2
    scores = support_scores(views.requires_grad_(), columns, absent)
    assert (scores[:, :2] == -torch.inf).all() and not scores.requires_grad
    for item in range(3):
        for column in range(2, 8):
            expected = max((view[item] @ columns[column]).item() for view in views)
            assert scores[item, column].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("most", "threshold"), [(2, 0.3), (9, 0.3), (1, -9.0), (3, 9.0)])
def test_found_are_the_highest_above_the_threshold(most: int, threshold: float) -> None:
    scores = features(4, 7, "scores").masked_fill(torch.eye(4, 7).bool(), -torch.inf)
    found = found_false_negatives(scores, most, threshold)
    for row, chosen in zip(scores.tolist(), found.tolist(), strict=True):
        highest = sorted(range(7), key=lambda column: -row[column])[:most]
        assert chosen == [column in highest and row[column] > threshold for column in range(7)]


def test_a_quantile_leaves_so_many_above_it() -> None:
    scores = features(10, 12, "scores").masked_fill(torch.eye(10, 12).bool(), -torch.inf)
    for quantile, above in ((0.9, 11), (0.5, 55), (1.0, 0), (0.0, 109)):
        assert (scores > score_at(quantile, scores, 110)).sum() == above
