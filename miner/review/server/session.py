"""The state of a running review: the answers of all reviewers, and the next pairs of each."""

import threading
import time
import unicodedata
from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import cast, get_args

from miner.artifacts.decisions import QUESTION, Decision, ReviewAnswer
from miner.engine import Record
from miner.errors import UsageError
from miner.review.estimation.judgements import judgements
from miner.review.estimation.sampling import Sampler
from miner.review.estimation.summary import summarise_judgements
from miner.review.pair_set import PairSet
from miner.review.server.journal import Journal

_AHEAD = 3
_NAME_LENGTH = 40
_SUMMARY_INTERVAL_S = 1.0


class Session:
    """The state that all requests share. Several threads may call every method.

    Args:
        sampler: order of the pairs for each reviewer.
        labels: number of pairs that each reviewer is asked to judge.
        show_labels: whether reviewers see class labels and similarity.
        question: that reviewers are asked, and that each decision keeps.
    """

    def __init__(
        self,
        pairs: PairSet,
        sampler: Sampler,
        journal: Journal,
        labels: int,
        show_labels: bool,
        question: str = QUESTION,
    ) -> None:
        self.pairs, self.journal, self.show_labels, self.question = pairs, journal, show_labels, question
        self.goal = min(labels, len(pairs))
        self.answers, self.outside = judgements(pairs, journal.decisions)
        self._judged = Counter(
            pair for answers in self.answers.values() for pair, answer in answers.items() if answer != "skip"
        )
        self._sampler = sampler
        self._common: list[int] = sampler.common.tolist()
        self._is_common = frozenset(self._common)
        self._individual = lru_cache(maxsize=256)(lambda reviewer: sampler.individual(reviewer).tolist())
        self._lock = threading.Lock()
        self._summary: tuple[int, float, Record] | None = None
        self._version = 0

    def decide(self, reviewer: str, pair: int, decision: str) -> Record:
        """Take one decision, and return the new state of the reviewer once the decision is on the disk.

        A decision that is sent twice is written once, so that a client without a response can send it again.

        Raises:
            UsageError: there is no such pair or answer.
            MinerError: the decision could not be written.
        """
        if not 0 <= pair < len(self.pairs):
            raise UsageError(f"There is no pair {pair}.")
        if decision not in get_args(ReviewAnswer):
            raise UsageError(f"{decision!r} is no decision.")
        with self._lock:
            if self.answers.get(reviewer, {}).get(pair, "undo") != decision:
                self.journal.append(self._line(reviewer, pair, decision))
                self._take(reviewer, pair, decision)
            return self._state(reviewer)

    def state(self, reviewer: str) -> Record:
        """What a reviewer sees: the next pairs, the progress, and the pair that an undo brings back."""
        with self._lock:
            return self._state(reviewer)

    def summary(self) -> Record:
        """The summary of all decisions, at most a second old."""
        with self._lock:
            version, now = self._version, time.monotonic()
            if self._summary and (self._summary[0] == version or now - self._summary[1] < _SUMMARY_INTERVAL_S):
                return self._summary[2]
            judged = {name: dict(answers) for name, answers in self.answers.items()}
        record = summarise_judgements(self.pairs, judged, self.outside, self.question)
        self._summary = (version, now, record)
        return record

    def reviewers(self) -> list[str]:
        """Names of the reviewers with at least one answer."""
        with self._lock:
            return sorted(name for name, answers in self.answers.items() if answers)

    def _line(self, reviewer: str, pair: int, decision: str) -> Decision:
        key_a, key_b = self.pairs.keys(pair)
        return Decision(
            key_a=key_a,
            key_b=key_b,
            decision=cast(ReviewAnswer, decision),
            reviewer=reviewer,
            time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            similarity=round(float(self.pairs.similarity[pair]), 6),
            slice=self.pairs.slice(pair),
            question=None if self.question == QUESTION else self.question,
        )

    def _take(self, reviewer: str, pair: int, decision: str) -> None:
        answers = self.answers.setdefault(reviewer, {})
        if answers.pop(pair, "skip") != "skip":
            self._judged[pair] -= 1
        if decision != "undo":
            answers[pair] = decision
            self._judged[pair] += decision != "skip"
        self._version += 1

    def _state(self, reviewer: str) -> Record:
        answers = self.answers.get(reviewer, {})
        return {
            "queue": [self._card(pair) for pair in self._next(reviewer, answers)],
            "judged": sum(answer != "skip" for answer in answers.values()),
            "goal": self.goal,
            "last": next(reversed(answers), None),
        }

    def _next(self, reviewer: str, answers: dict[int, str]) -> list[int]:
        """The next few pairs. Individual pairs that another reviewer has judged are left out."""
        common = (pair for pair in self._common if pair not in answers)
        individual = (pair for pair in self._individual(reviewer) if pair not in answers and not self._judged[pair])
        had_common = sum(pair in self._is_common for pair in answers)
        had_individual = len(answers) - had_common
        found: list[int] = []
        while len(found) < _AHEAD:
            is_common = self._sampler.is_common_next(had_common, had_individual)
            first, second = (common, individual) if is_common else (individual, common)
            pair = next(chain(first, second), None)
            if pair is None:
                break
            found.append(pair)
            had_common, had_individual = had_common + is_common, had_individual + (not is_common)
        return found

    def _card(self, pair: int) -> Record:
        if not self.show_labels:
            return {"pair": pair}
        similarity = round(float(self.pairs.similarity[pair]), 4)
        return {"pair": pair, "similarity": similarity, "labels": self.pairs.labels(pair)}


def reviewer_name(text: object) -> str:
    """The name of a reviewer, with its spaces and Unicode normalised.

    Raises:
        UsageError: the name is empty, too long, or holds control characters.
    """
    name = unicodedata.normalize("NFC", " ".join(text.split())) if isinstance(text, str) else ""
    if not 0 < len(name) <= _NAME_LENGTH or not name.isprintable():
        raise UsageError(f"A reviewer's name has 1 to {_NAME_LENGTH} printable characters.")
    return name
