import pytest

from miner.pairs.calibration.chart import precision_curve


def test_precision_curve_by_hand() -> None:
    counts, same = [0] * 10, [0] * 10
    counts[4:9], same[4:9] = [100, 60, 30, 10, 999], [10, 30, 30, 10, 999]
    histogram = {"low": -1.0, "high": 1.0, "counts": counts, "same_label": same}
    assert precision_curve(histogram, 0.6)[-3:] == [
        (pytest.approx(-0.2), 80 / 200),
        (pytest.approx(0.0), 70 / 100),
        (pytest.approx(0.2), 1.0),
    ]
    assert precision_curve({**histogram, "same_label": [0] * 10}, 0.6)[-1][1] == 0
    del histogram["same_label"]
    assert precision_curve(histogram, 0.6) == []
