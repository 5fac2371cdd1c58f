import random

import pytest
from sklearn.metrics import cohen_kappa_score

from miner.review.estimation.agreement import agreement_in_words, agreements, cohen_kappa, krippendorff_alpha

ANSWERS = ["same", "different", "unsure"]


@pytest.mark.parametrize("seed", range(8))
def test_kappa_is_sklearns(seed: int) -> None:
    rng = random.Random(seed)
    both = [(rng.choice(ANSWERS[: 2 + seed % 2]), rng.choice(ANSWERS)) for _ in range(40)]
    both += [(answer, answer) for answer in rng.choices(ANSWERS, k=10 * seed)]
    assert cohen_kappa(both) == pytest.approx(cohen_kappa_score(*zip(*both, strict=True)))


def test_kappa_is_undefined_where_both_only_know_one_answer() -> None:
    assert cohen_kappa([("same", "same")] * 5) is None
    assert cohen_kappa([("same", "different")] * 5) == 0


def test_only_pairs_that_both_judged_count() -> None:
    judged = {
        "Bob": {1: "same", 2: "different", 3: "same", 9: "unsure"},
        "Ada": {1: "same", 2: "same", 3: "same", 4: "different"},
        "Eve": {7: "same"},
    }
    (found,) = agreements(judged)
    assert (found.a, found.b, found.pairs, found.agreed) == ("Ada", "Bob", 3, 2)
    assert found.kappa == pytest.approx(0.0)


def test_alpha_is_that_of_krippendorffs_example() -> None:
    """Four observers and twelve units (Krippendorff 2011, section C); the twelfth unit has a single answer."""
    units = ["111", "2223", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11"]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(["11", "111"]) is None


def test_a_coefficient_is_said_in_words() -> None:
    assert agreement_in_words(0.81) == "0.81, almost perfect agreement beyond chance"
    assert agreement_in_words(-0.2) == "-0.20, no agreement beyond chance" and "one answer" in agreement_in_words(None)
