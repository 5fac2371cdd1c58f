"""The decisions of reviewers about pairs: `decisions.jsonl`, one JSON object per line. Lines are only appended.

{"key_a": ..., "key_b": ..., "decision": "same", "reviewer": ..., "time": ..., "similarity": 0.97, "slice": [0.965, 0.97]}

The last decision of a reviewer on a pair counts; `undo` takes it back. The order of the two keys of a pair has no meaning.
A line also holds the question that was asked, unless it is `QUESTION`.
"""

import json
import warnings
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from miner.errors import MinerError

ReviewAnswer = Literal["same", "near-duplicate", "different", "unsure", "skip", "undo"]
QUESTION = "Do these two show the same kind of thing?"
Pair = tuple[str, str]


def _iso_utc(text: str) -> str:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None or moment.utcoffset():
        raise ValueError("time must be in UTC, such as 2025-03-01T12:00:00Z")
    return text


class Decision(BaseModel):
    """One line of the file. Unknown fields are ignored.

    Attributes:
        decision: answer of the reviewer; `undo` takes back the previous answer of this reviewer to this pair. A near-duplicate is
            two times the same photograph, or nearly: a copy, a crop, the next frame.
        time: ISO 8601, in UTC.
        similarity: cosine of the pair.
        slice: lowest and highest similarity, or score of the rule, of the slice that the pair was drawn from.
        question: that was asked; None for `QUESTION`.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, strict=True)

    key_a: str = Field(min_length=1)
    key_b: str = Field(min_length=1)
    decision: ReviewAnswer
    reviewer: str = Field(min_length=1)
    time: Annotated[str, AfterValidator(_iso_utc)]
    similarity: float
    slice: Annotated[list[float], Field(min_length=2, max_length=2)]
    question: str | None = None

    @property
    def pair(self) -> Pair:
        """Both keys, sorted."""
        return (self.key_a, self.key_b) if self.key_a <= self.key_b else (self.key_b, self.key_a)

    def line(self) -> str:
        """The decision as a line of the file, with its newline."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), ensure_ascii=False) + "\n"


def read_decisions(path: Path) -> list[Decision]:
    """All decisions of a file, in their order.

    A killed process can leave a half-written last line, without a newline. That line is left out, with a warning.

    Raises:
        MinerError: the file cannot be read, or another line is no decision; the message gives the number of the line.
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
            f"{where} is no decision: {field + ': ' if field else ''}{problem['msg']}. Correct or remove that line."
        ) from None


def standing(decisions: Iterable[Decision]) -> dict[tuple[str, Pair], Decision]:
    """The last decision of each reviewer on each pair, by (reviewer, pair), without those taken back."""
    last: dict[tuple[str, Pair], Decision] = {}
    for decision in decisions:
        which = (decision.reviewer, decision.pair)
        last.pop(which, None)
        if decision.decision != "undo":
            last[which] = decision
    return last


def _verdicts(decisions: Iterable[Decision]) -> dict[Pair, str]:
    """What most reviewers say of each pair, without skips. A pair without a majority has no verdict."""
    answers: dict[Pair, Counter[str]] = {}
    for decision in standing(decisions).values():
        if decision.decision != "skip":
            answers.setdefault(decision.pair, Counter())[decision.decision] += 1
    leading = {pair: counts.most_common(2) for pair, counts in answers.items()}
    return {pair: top[0][0] for pair, top in leading.items() if len(top) == 1 or top[0][1] > top[1][1]}


def verdict_column(path: Path, table: pa.Table) -> pa.Array:
    """The verdict on each pair of a table with key_a and key_b, null where there is none; `path` is a file of decisions."""
    found = _verdicts(read_decisions(path)) if path.exists() else {}
    pairs = zip(table["key_a"].to_pylist(), table["key_b"].to_pylist(), strict=True)
    return pa.array([found.get((min(pair), max(pair))) for pair in pairs], pa.string())


def rejected(decisions: Iterable[Decision]) -> set[Pair]:
    """Pairs that more reviewers call `different` or `near-duplicate` than `same`. A tie rejects no pair."""
    votes: Counter[Pair] = Counter()
    for decision in standing(decisions).values():
        votes[decision.pair] += {"different": 1, "near-duplicate": 1, "same": -1}.get(decision.decision, 0)
    return {pair for pair, balance in votes.items() if balance > 0}
