import pytest

from miner.review.estimation.judgements import SliceVerdicts, verdicts
from miner.review.estimation.precision import stratified


def test_a_near_duplicate_is_a_verdict_of_its_own() -> None:
    judged = {
        "Ada": {1: "near-duplicate", 2: "same", 3: "same", 4: "unsure"},
        "Bob": {1: "near-duplicate", 2: "near-duplicate", 3: "different"},
        "Eve": {1: "same", 3: "same"},
    }
    assert verdicts(judged) == {1: "near-duplicate", 2: None, 3: "same"}


def test_near_duplicates_are_neither_right_nor_wrong() -> None:
    """A slice of 100 pairs of which half are near-duplicates weighs as much as one of 50 without."""
    slices = [SliceVerdicts(100, 5, 10, 5), SliceVerdicts(50, 10, 0, 0)]
    assert stratified([part.right for part in slices]).value == pytest.approx(0.75)
    assert stratified([part.repeated for part in slices]).value == pytest.approx(100 / 150 / 2)
    assert SliceVerdicts(10, 0, 10, 0).right.pairs == 0
