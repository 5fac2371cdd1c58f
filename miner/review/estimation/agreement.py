"""Agreement of reviewers beyond chance."""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

_Pair = TypeVar("_Pair", bound=Hashable)


@dataclass(frozen=True)
class Agreement:
    """The agreement of two reviewers on the pairs that both judged.

    Attributes:
        a, b: names of the reviewers.
        pairs: number of pairs that both judged.
        agreed: number of these pairs with equal answers.
        kappa: Cohen's kappa; None if both gave the same single answer to every pair, so that chance explains all agreement.
    """

    a: str
    b: str
    pairs: int
    agreed: int
    kappa: float | None


def agreements(judgements: Mapping[str, Mapping[_Pair, str]]) -> list[Agreement]:
    """The agreement of every two reviewers who have judged a common pair, sorted by name.

    Args:
        judgements: answers by reviewer and pair.
    """
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
