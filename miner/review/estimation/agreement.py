"""How far reviewers agree on the pairs that several of them have judged, beyond what chance explains."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from miner.review.estimation.judgements import Judgements

# Landis & Koch, The measurement of observer agreement for categorical data, Biometrics 33 (1977), 159-174.
_WORDS = ((0.8, "almost perfect"), (0.6, "substantial"), (0.4, "moderate"), (0.2, "fair"), (0.0, "slight"))


class Agreement(NamedTuple):
    """The agreement of reviewers `a` and `b`: numbers of pairs that both judged, and of those with equal answers.

    Cohen's kappa is None if both gave the same single answer to every pair, so that chance explains all agreement.
    """

    a: str
    b: str
    pairs: int
    agreed: int
    kappa: float | None


class Common(NamedTuple):
    """Pairs that several reviewers have judged: their number, of those with equal answers, and Krippendorff's alpha of all."""

    pairs: int
    agreed: int
    alpha: float | None


def agreement_in_words(coefficient: float | None) -> str:
    """What a kappa or an alpha means, as Landis & Koch name it."""
    if coefficient is None:
        return "undefined, as there is one answer only"
    word = next((word for least, word in _WORDS if coefficient > least), "no")
    return f"{coefficient:.2f}, {word} agreement beyond chance"


def common_pairs(judgements: Judgements) -> dict[int, dict[str, str]]:
    """The answers to each pair that at least two reviewers have judged, by reviewer."""
    answers: dict[int, dict[str, str]] = {}
    for reviewer, of_pair in judgements.items():
        for pair, answer in of_pair.items():
            answers.setdefault(pair, {})[reviewer] = answer
    return {pair: given for pair, given in answers.items() if len(given) > 1}


def agreement_of_all(common: Sequence[Sequence[str]]) -> Common:
    """The agreement of all reviewers at once.

    Args:
        common: the answers to each pair, two or more.
    """
    return Common(len(common), sum(len(set(answers)) == 1 for answers in common), krippendorff_alpha(common))


def agreements(judgements: Judgements) -> list[Agreement]:
    """The agreement of every two reviewers who have judged a common pair, sorted by name."""
    found = []
    for a, b in combinations(sorted(judgements), 2):
        few, many = sorted((judgements[a], judgements[b]), key=len)
        both = [(judgements[a][pair], judgements[b][pair]) for pair in few if pair in many]
        if both:
            agreed = sum(x == y for x, y in both)
            found.append(Agreement(a, b, len(both), agreed, cohen_kappa(both)))
    return found


def cohen_kappa(both: list[tuple[str, str]]) -> float | None:
    """Cohen's kappa: (observed - expected) / (1 - expected) agreement; None if the expected agreement is 1.

    Source: Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20 (1960), 37-46.

    Args:
        both: the answers of the two reviewers to each pair, at least one.
    """
    count = len(both)
    first, second = Counter(x for x, _ in both), Counter(y for _, y in both)
    by_chance = sum(first[answer] * second[answer] for answer in first)
    if by_chance == count * count:
        return None
    agreed = sum(x == y for x, y in both)
    return (agreed * count - by_chance) / (count * count - by_chance)


def krippendorff_alpha(units: Sequence[Sequence[str]]) -> float | None:
    """Krippendorff's alpha for nominal answers: 1 - observed / expected disagreement; None if only one answer occurs.

    Any number of reviewers may have judged a unit. For two reviewers alpha is close to Cohen's kappa.

    Source: Krippendorff, Computing Krippendorff's alpha-reliability (2011), section D.

    Args:
        units: the answers to each unit, two or more.
    """
    total = sum(map(len, units))
    by_answer = sum((Counter(answers) for answers in units), Counter[str]())
    expected = total**2 - sum(count**2 for count in by_answer.values())
    if not expected:
        return None
    observed = sum(
        (len(answers) ** 2 - sum(count**2 for count in Counter(answers).values())) / (len(answers) - 1)
        for answers in units
    )
    return 1 - (total - 1) * observed / expected
