"""The last answer of each reviewer to each pair, the verdict of most reviewers on a pair, and their numbers by slice."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.decisions import Decision, standing
from miner.review.estimation.precision import Stratum

if TYPE_CHECKING:
    from miner.review.pair_set import PairSet

Judgements = Mapping[str, Mapping[int, str]]


VERDICTS = ("same", "near-duplicate", "different")


@dataclass(frozen=True)
class SliceVerdicts:
    """The number of pairs of a slice, and how many of them have each verdict."""

    pairs: int
    same: int
    near_duplicates: int
    different: int

    @property
    def right(self) -> Stratum:
        """For the share of `same` among the pairs that are no near-duplicates; their number follows from the verdicts."""
        decided = self.same + self.different
        share = decided / (decided + self.near_duplicates) if self.near_duplicates else 1
        return Stratum(self.pairs * share, decided, self.same)

    @property
    def repeated(self) -> Stratum:
        """For the share of near-duplicates among all pairs."""
        return Stratum(self.pairs, self.same + self.near_duplicates + self.different, self.near_duplicates)


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


def verdicts(judgements: Judgements) -> dict[int, str | None]:
    """The verdict on each pair that is called same, near-duplicate or different: the most frequent of these; None on a tie."""
    votes: dict[int, Counter[str]] = {}
    for answers in judgements.values():
        for pair, answer in answers.items():
            if answer in VERDICTS:
                votes.setdefault(pair, Counter())[answer] += 1
    leading = {pair: counts.most_common(2) for pair, counts in votes.items()}
    return {pair: top[0][0] if len(top) == 1 or top[0][1] > top[1][1] else None for pair, top in leading.items()}


def verdicts_by_slice(
    pairs: "PairSet", found: Mapping[int, str | None], kept: NDArray[np.bool_] | None = None
) -> list[SliceVerdicts]:
    """The verdicts in each slice.

    Args:
        kept: bool (n,); counts only some of the pairs. The judged ones among them are a random sample of these in each slice.
    """
    numbers, slices = pairs.numbers if kept is None else pairs.numbers[kept], len(pairs.edges) - 1
    counts = {verdict: [0] * slices for verdict in VERDICTS}
    for pair, verdict in found.items():
        if verdict is not None and (kept is None or kept[pair]):
            counts[verdict][int(pairs.numbers[pair])] += 1
    sizes = np.bincount(numbers, minlength=slices).tolist()
    return [SliceVerdicts(*each) for each in zip(sizes, *counts.values(), strict=True)]
