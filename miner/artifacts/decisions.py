"""What reviewers said about pairs: `decisions.jsonl`, one JSON object per line, only ever appended to.

{"key_a": ..., "key_b": ..., "decision": "same", "reviewer": ..., "time": ..., "similarity": 0.97, "slice": [0.965, 0.97]}

The last decision of a reviewer on a pair counts; `undo` takes it back. A pair is the same pair in either order of its keys.
"""

import json
import warnings
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from miner.errors import MinerError

ReviewAnswer = Literal["same", "different", "unsure", "skip", "undo"]
Pair = tuple[str, str]


def _iso_utc(text: str) -> str:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None or moment.utcoffset():
        raise ValueError("time must be in UTC, such as 2025-03-01T12:00:00Z")
    return text


class Decision(BaseModel):
    """One line of the file; fields that are not known here are passed over.

    Attributes:
        key_a, key_b: keys of the two images.
        decision: what the reviewer said; `undo` takes back what the same reviewer said about this pair before.
        reviewer: name of the person.
        time: ISO 8601, in UTC.
        similarity: cosine of the pair.
        slice: lowest and highest similarity of the stratum that the pair was drawn from.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, strict=True)

    key_a: str = Field(min_length=1)
    key_b: str = Field(min_length=1)
    decision: ReviewAnswer
    reviewer: str = Field(min_length=1)
    time: Annotated[str, AfterValidator(_iso_utc)]
    similarity: float
    slice: Annotated[list[float], Field(min_length=2, max_length=2)]

    @property
    def pair(self) -> Pair:
        """Both keys, sorted."""
        return (self.key_a, self.key_b) if self.key_a <= self.key_b else (self.key_b, self.key_a)

    def line(self) -> str:
        """The decision as a line of the file, with its newline."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False) + "\n"


def read_decisions(path: Path) -> list[Decision]:
    """All decisions of a file, in its order.

    A last line without its newline is what a killed process left: it is left out, with a warning.

    Raises:
        MinerError: the file cannot be read, or another line is no decision; the message gives its number.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MinerError(f"The decisions {path} cannot be read: {error.strerror}.") from error
    *lines, rest = content.split(b"\n")
    if rest:
        warnings.warn(f"{path}: line {len(lines) + 1} is half-written and left out.", stacklevel=2)
    return [_decision(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _decision(line: bytes, where: str) -> Decision:
    try:
        return Decision.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise MinerError(
            f"{where} is no decision: {field + ': ' if field else ''}{problem['msg']}. Mend or remove that line."
        ) from None


def standing(decisions: Iterable[Decision]) -> dict[tuple[str, Pair], Decision]:
    """What counts, by (reviewer, pair): the last decision of each reviewer on each pair that was not taken back."""
    last: dict[tuple[str, Pair], Decision] = {}
    for decision in decisions:
        place = (decision.reviewer, decision.pair)
        last.pop(place, None)
        if decision.decision != "undo":
            last[place] = decision
    return last


def rejected(decisions: Iterable[Decision]) -> set[Pair]:
    """Pairs that more reviewers call `different` than `same`; of a tie, and without either vote, a pair is not rejected."""
    votes: Counter[Pair] = Counter()
    for decision in standing(decisions).values():
        votes[decision.pair] += {"different": 1, "same": -1}.get(decision.decision, 0)
    return {pair for pair, balance in votes.items() if balance > 0}
