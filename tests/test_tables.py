"""Means with their intervals as people and programs read them."""

import csv
import io

import numpy as np
import pytest

from miner.tables import csv_text, interval_record, interval_text


def test_interval_is_students() -> None:
    assert interval_record([1.0, 2.0, 3.0], 3) == {
        "mean": 2.0,
        "half_width": pytest.approx(4.303 / np.sqrt(3), abs=1e-3),
    }
    assert interval_record([5.0], 3) == {"mean": 5.0, "half_width": None}
    assert interval_record([float(seed % 3) for seed in range(11)], 3)["half_width"] == 0.558
    assert interval_record([float(seed % 3) for seed in range(20)], 3)["half_width"] == 0.386


@pytest.mark.parametrize(
    ("half_width", "sign", "text"), [(0.118, "", "87.65 ± 0.12"), (None, "", "87.65"), (0.118, "+", "+87.65 ± 0.12")]
)
def test_interval_text_rounds_both_numbers(half_width: float | None, sign: str, text: str) -> None:
    assert interval_text({"mean": 87.654, "half_width": half_width}, 2, sign) == text


def test_csv_leaves_unknown_cells_empty() -> None:
    text = csv_text(["arm", "mean"], [{"arm": "a, b", "mean": None, "other": 1}, {"arm": "c"}])
    assert list(csv.reader(io.StringIO(text))) == [["arm", "mean"], ["a, b", ""], ["c", ""]]
