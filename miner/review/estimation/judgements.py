"""Judgements: the last answer of each reviewer to each pair. Verdicts: the answer of the majority to a pair."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from miner.artifacts.decisions import Decision, standing

if TYPE_CHECKING:
    from miner.review.pair_set import PairSet

Judgements = Mapping[str, Mapping[int, str]]


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
