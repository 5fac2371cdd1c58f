"""One running review: who has said what, and what each reviewer sees next."""

import threading
import time
import unicodedata
from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from typing import cast, get_args

from miner.artifacts.decisions import Decision, ReviewAnswer
from miner.engine.records import Record
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
    """The state that all requests share. Every method may be called from several threads.

    Args:
        pairs: under review.
        sampler: of the order for each reviewer.
        journal: where decisions go.
        labels: that each reviewer is asked for.
        show_labels: whether reviewers see class labels and similarity.
    """

    def __init__(self, pairs: PairSet, sampler: Sampler, journal: Journal, labels: int, show_labels: bool) -> None:
        self.pairs, self.journal, self.show_labels = pairs, journal, show_labels
        self.goal = min(labels, len(pairs))
        self.said, self.elsewhere = judgements(pairs, journal.decisions)
        self._judged = Counter(pair for said in self.said.values() for pair in said if said[pair] != "skip")
        self._sampler = sampler
        self._common: list[int] = sampler.common.tolist()
        self._is_common = frozenset(self._common)
        self._own = lru_cache(maxsize=256)(lambda reviewer: sampler.own(reviewer).tolist())
        self._lock = threading.Lock()
        self._summary: tuple[int, float, Record] | None = None
        self._version = 0

    def decide(self, reviewer: str, pair: int, decision: str) -> Record:
        """Take one decision, and return the reviewer's new state once it is on the disk.

        The same decision sent twice is written once, so that a client that got no answer may ask again.

        Raises:
            UsageError: there is no such pair or decision.
            MinerError: it could not be written.
        """
        if not 0 <= pair < len(self.pairs):
            raise UsageError(f"There is no pair {pair}.")
        if decision not in get_args(ReviewAnswer):
            raise UsageError(f"{decision!r} is no decision.")
        with self._lock:
            said = self.said.get(reviewer, {})
            if said.get(pair, "undo") != decision:
                self.journal.append(self._line(reviewer, pair, decision))
                self._take(reviewer, pair, decision)
            return self._state(reviewer)

    def state(self, reviewer: str) -> Record:
        """What a reviewer sees: the next pairs, the progress, and the pair that an undo would bring back."""
        with self._lock:
            return self._state(reviewer)

    def summary(self) -> Record:
        """What all decisions say so far; at most a second old."""
        with self._lock:
            version, now = self._version, time.monotonic()
            if self._summary and (self._summary[0] == version or now - self._summary[1] < _SUMMARY_INTERVAL_S):
                return self._summary[2]
            said = {name: dict(decisions) for name, decisions in self.said.items()}
        record = summarise_judgements(self.pairs, said, self.elsewhere)
        self._summary = (version, now, record)
        return record

    def reviewers(self) -> list[str]:
        """Names of those who have decided something."""
        with self._lock:
            return sorted(name for name, said in self.said.items() if said)

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
        )

    def _take(self, reviewer: str, pair: int, decision: str) -> None:
        said = self.said.setdefault(reviewer, {})
        if said.pop(pair, "skip") != "skip":
            self._judged[pair] -= 1
        if decision != "undo":
            said[pair] = decision
            self._judged[pair] += decision != "skip"
        self._version += 1

    def _state(self, reviewer: str) -> Record:
        said = self.said.get(reviewer, {})
        return {
            "queue": [self._card(pair) for pair in self._next(reviewer, said)],
            "judged": sum(decision != "skip" for decision in said.values()),
            "goal": self.goal,
            "last": next(reversed(said), None),
        }

    def _next(self, reviewer: str, said: dict[int, str]) -> list[int]:
        """The next few pairs; own ones that somebody else has judged are passed over."""
        common = (pair for pair in self._common if pair not in said)
        own = (pair for pair in self._own(reviewer) if pair not in said and not self._judged[pair])
        had_common = sum(pair in self._is_common for pair in said)
        had_own = len(said) - had_common
        found: list[int] = []
        while len(found) < _AHEAD:
            is_common = self._sampler.is_common_next(had_common, had_own)
            first, second = (common, own) if is_common else (own, common)
            pair = next(first, None)
            if pair is None:
                pair = next(second, None)
            if pair is None:
                break
            found.append(pair)
            had_common, had_own = had_common + is_common, had_own + (not is_common)
        return found

    def _card(self, pair: int) -> Record:
        if not self.show_labels:
            return {"pair": pair}
        return {
            "pair": pair,
            "similarity": round(float(self.pairs.similarity[pair]), 4),
            "labels": self.pairs.labels(pair),
        }


def reviewer_name(text: object) -> str:
    """A name as it is recorded.

    Raises:
        UsageError: it is empty, too long, or holds control characters.
    """
    name = unicodedata.normalize("NFC", " ".join(text.split())) if isinstance(text, str) else ""
    if not 0 < len(name) <= _NAME_LENGTH or not name.isprintable():
        raise UsageError(f"A reviewer's name has 1 to {_NAME_LENGTH} printable characters.")
    return name
