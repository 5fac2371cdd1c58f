"""What stands of all decisions: the last answer of each reviewer about each pair, and the verdict on the pair."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from miner.artifacts.decisions import Decision, standing

if TYPE_CHECKING:
    from miner.review.pair_set import PairSet

Judgements = Mapping[str, Mapping[int, str]]


def judgements(pairs: "PairSet", decisions: Iterable[Decision]) -> tuple[dict[str, dict[int, str]], int]:
    """What stands, by reviewer and place of the pair, oldest first; and the number of decisions about other pairs."""
    last = standing(decisions)
    said: dict[str, dict[int, str]] = {}
    elsewhere = 0
    for (reviewer, _), decision, place in zip(last, last.values(), pairs.find(pair for _, pair in last), strict=True):
        if place is None:
            elsewhere += 1
        else:
            said.setdefault(reviewer, {})[place] = decision.decision
    return said, elsewhere


def verdicts(judgements: Judgements) -> dict[int, bool | None]:
    """For each pair that anyone called `same` or `different`, whether more say `same`; None on a tie."""
    balance: Counter[int] = Counter()
    for said in judgements.values():
        for pair, decision in said.items():
            if decision in ("same", "different"):
                balance[pair] += 1 if decision == "same" else -1
    return {pair: None if votes == 0 else votes > 0 for pair, votes in balance.items()}
