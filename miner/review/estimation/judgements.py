"""The last answer of each reviewer to each pair, the verdict of the majority on a pair, and agreement beyond chance."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from miner.artifacts.decisions import Decision, standing

if TYPE_CHECKING:
    from miner.review.pair_set import PairSet

Judgements = Mapping[str, Mapping[int, str]]


class Agreement(NamedTuple):
    """The agreement of reviewers `a` and `b`: numbers of pairs that both judged, and of those with equal answers.

    Cohen's kappa is None if both gave the same single answer to every pair, so that chance explains all agreement.
    """

    a: str
    b: str
    pairs: int
    agreed: int
    kappa: float | None


def judgements(pairs: "PairSet", decisions: Iterable[Decision]) -> tuple[dict[str, dict[int, str]], int]:
    """The judgements by reviewer and number of the pair, oldest first; and the number of decisions about other pairs."""
    last = standing(decisions)
    found: dict[str, dict[int, str]] = {}
    outside = 0
    for (reviewer, _), decision, number in zip(last, last.values(), pairs.find(pair for _, pair in last), strict=True):
        if number is None:
            outside += 1
        else:
            found.setdefault(reviewer, {})[number] = decision.decision
    return found, outside


def verdicts(judgements: Judgements) -> dict[int, bool | None]:
    """For each pair with an answer `same` or `different`: whether most reviewers say `same`; None on a tie."""
    balance: Counter[int] = Counter()
    for answers in judgements.values():
        for pair, answer in answers.items():
            if answer in ("same", "different"):
                balance[pair] += 1 if answer == "same" else -1
    return {pair: None if votes == 0 else votes > 0 for pair, votes in balance.items()}


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
