import numpy as np
import pytest

from miner.artifacts.pairs.statistics import chance_precision, label_statistics


def test_label_curve_by_hand() -> None:
    labels = np.array([0, 0, 1, -1, 1])
    a, b = np.array([0, 0, 1, 2]), np.array([1, 2, 2, 3])
    statistics = label_statistics(a, b, np.array([0.955, 0.93, 0.9299, 0.99]), labels)
    assert statistics["pairs_with_labels"] == 3
    curve = {point["min"]: (point["pairs"], point["precision"]) for point in statistics["by_threshold"]}
    assert curve == {0.95: (1, 1.0), 0.94: (1, 1.0), 0.93: (2, 0.5), 0.92: (3, pytest.approx(1 / 3))}
    coverage = {point["min"]: (point["images"], point["coverage"]) for point in statistics["by_threshold"]}
    assert coverage == {0.95: (2, 0.5), 0.94: (2, 0.5), 0.93: (3, 0.75), 0.92: (3, 0.75)}
    within = [(point["within"]["pairs"], point["within"]["precision"]) for point in statistics["by_threshold"]]
    assert within == [(1, 1.0), (0, None), (1, 0.0), (1, 0.0)]
    assert chance_precision(labels) == pytest.approx(1 / 3)
    assert label_statistics(a, b, np.ones(4), None) is None
