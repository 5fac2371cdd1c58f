"""The record of a review, `review.json`: what people said about the pairs of a workspace, in sentences for a page or a card."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, ValidationError

from miner.artifacts.artifact import RecordPart
from miner.artifacts.decisions import QUESTION, read_decisions, standing
from miner.artifacts.pairs.manifest import UNKNOWN_PRECISION, PairsManifest
from miner.artifacts.workspace import Workspace
from miner.engine import Record, fingerprint, read_json
from miner.errors import MinerError
from miner.text import counted

_ANSWERS = ("same", "near-duplicate", "different", "unsure")
_AGAIN = "`miner review --summary` makes it anew"


class ReviewRecord(RecordPart):
    """The summary of a review; records of old versions lack what has a default.

    Attributes:
        record: the JSON as it is on disk.
        precision: "value", "low" and "high" of all pairs; the value is None without answers.
        slices: of similarity, or of the score of a rule (`sliced_by`).
        agreement: of every two reviewers; `common` is that of all.
        disagreements: "key_a", "key_b" and "answers" by reviewer.
        narrower: the rules that the answers speak for.
    """

    record: Record
    pairs: int
    pairs_identity: str | None = None
    question: str = QUESTION
    sliced_by: str = "similarity"
    labelled: int
    near_duplicates: int = 0
    near_duplicate_share: Record | None = None
    elsewhere: int = 0
    precision: Record
    slices: list[Record]
    reviewers: list[Record]
    agreement: list[Record]
    common: Record | None = None
    disagreements: list[Record] = Field(default_factory=list)
    narrower: Record | None = None

    @classmethod
    def find(cls, workspace: Workspace) -> Self | None:
        """The record; None where nobody has judged a pair.

        Raises:
            MinerError: the record is damaged.
        """
        path = workspace.review / "review.json"
        if (record := read_json(path)) is None:
            return None
        try:
            return cls.model_validate({**record, "record": record})
        except ValidationError as error:
            raise MinerError(f"{path} is damaged. Run `miner review --summary` again.") from error

    @property
    def answers(self) -> int:
        """Number of answers, without skips."""
        return sum(person.get(answer, 0) for person in self.reviewers for answer in _ANSWERS)

    @property
    def sentences(self) -> list[str]:
        """What people said, without their names."""
        people, precision = counted(len(self.reviewers), "person", "people"), "no pair has a verdict yet"
        if self.precision["value"] is not None:
            precision = f"the precision of all {counted(self.pairs, 'pair')} is {percent_interval(self.precision)}"
        return [
            f"{people} gave {counted(self.answers, 'answer')} to the question: {self.question}",
            f"By these answers {precision}: the share of pairs with the answer yes, without near-duplicates; 95% interval.",
            *self._near_duplicates(),
            *self._agreement(),
        ]

    @property
    def advice(self) -> list[str]:
        """The narrower rules that the answers speak for."""
        return list((self.narrower or {}).get("sentences", []))

    def _near_duplicates(self) -> list[str]:
        share = self.near_duplicate_share
        return (
            [f"Near-duplicates are {percent_interval(share)} of all pairs."] if share and self.near_duplicates else []
        )

    def _agreement(self) -> list[str]:
        if not self.agreement or not self.common:
            return []
        found, name = (
            (self.agreement[0], "Cohen's kappa") if len(self.agreement) == 1 else (self.common, "Krippendorff's alpha")
        )
        share = self.common["agreed"] / self.common["pairs"]
        return [
            f"Reviewers agree on {self.common['agreed']} of {counted(self.common['pairs'], 'pair')} that several have judged "
            f"({share:.0%}); {name} {found['meaning']}."
        ]


def read_review(workspace: Workspace, pairs: PairsManifest | None) -> tuple[ReviewRecord | None, str]:
    """The record of a review if it is of these pairs, and what does not fit, if anything.

    Raises:
        MinerError: the record or the decisions are damaged.
    """
    found, path = ReviewRecord.find(workspace), workspace.review / "decisions.jsonl"
    if found and found.pairs_identity and pairs and found.pairs_identity != pairs.identity:
        return None, f"its summary is of other pairs; {_AGAIN}"
    decided = len(standing(read_decisions(path))) if path.exists() else 0
    skipped = sum(person.get("skip", 0) for person in found.reviewers) if found else 0
    if decided != (found.answers + skipped + found.elsewhere if found else 0):
        return found, f"its summary lacks newer answers; {_AGAIN}"
    return found, ""


def pairs_verdict(workspace: Workspace, pairs: PairsManifest) -> str:
    """The verdict of the pairs, with the estimate of a review where labels say nothing. A damaged review counts as none."""
    try:
        found = read_review(workspace, pairs)[0]
    except MinerError:
        found = None
    if found is None or found.precision["value"] is None:
        return pairs.verdict
    right = (
        f"{percent_interval(found.precision)} of the pairs are right, by {counted(found.answers, 'answer')} of a review"
    )
    return pairs.verdict.replace(UNKNOWN_PRECISION, right)


def slice_name(part: Mapping[str, Any], sliced_by: str) -> str:
    """The edges of a slice as text: 0.600 to 0.629 of similarity, 7.2 to 8.4 of a score."""
    form = ".3f" if sliced_by == "similarity" else ".4g"
    return f"{part['min']:{form}} to {part['max']:{form}}"


def percent_interval(interval: Mapping[str, Any]) -> str:
    """An estimate as text, such as 82.8% (78.5% to 86.4%)."""
    if interval["value"] is None:
        return "no answer yet"
    return f"{interval['value']:.1%} ({interval['low']:.1%} to {interval['high']:.1%})"


def review_identity(found: ReviewRecord | None, note: str) -> str:
    """Changes when a page about the review would change."""
    return fingerprint([found and found.record, note])
