"""What a review says, and whether it belongs to the pairs that are there."""

import json

import pytest

from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.review import ReviewRecord, pairs_verdict, read_review
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.report.options import ReportOptions
from miner.report.run import report
from miner.review.options import ReviewOptions
from miner.review.pair_set import read_pair_set
from miner.review.run import review
from tests.report.pages import Page, read
from tests.review.conftest import mined, workspace
from tests.review.decisions import decision

__all__ = ["mined", "workspace"]

QUESTION = "Same <b>shoe</b>?"


def judge(workspace: Workspace, said: dict[str, list[str]]) -> None:
    """Answers of reviewers to the first pairs."""
    keys = read_pair_set(workspace, 1)
    lines = []
    for reviewer, answers in said.items():
        for number, answer in enumerate(answers):
            key_a, key_b = keys.keys(number)
            more = {"key_a": key_a, "key_b": key_b, "decision": answer, "question": QUESTION}
            lines.append(decision(reviewer=reviewer).model_copy(update=more).line())
    workspace.review.mkdir(exist_ok=True)
    (workspace.review / "decisions.jsonl").write_text("".join(lines))


@pytest.fixture
def judged(workspace: Workspace) -> Workspace:
    judge(workspace, {"Ada": ["same", "same", "near-duplicate", "different"], "Bob": ["same", "different"]})
    review(ReviewOptions(summary=True), workspace)
    return workspace


def page_of(workspace: Workspace) -> Page:
    report(ReportOptions(gallery=6, random=2), workspace)
    return read(workspace)


def test_the_report_and_the_card_say_what_people_said(judged: Workspace) -> None:
    page = page_of(judged)
    section = page.sections["review"]
    for words in (
        f"2 people gave 6 answers to the question: {QUESTION}",
        "near-duplicates",
        "Ada: same; Bob: different",
    ):
        assert words in section
    assert "agree on 1 of 2 pairs that several have judged (50%)" in section
    assert "Reviewed precision" in page.sections["head"]
    sentences = ReviewRecord.find(judged).sentences
    assert not any(name in sentence for sentence in sentences for name in ("Ada", "Bob"))


def test_a_review_of_other_pairs_is_said_to_be_so(judged: Workspace) -> None:
    before = page_of(judged)
    pairs(PairsOptions(min=0.6, max=0.97), judged, force=True)
    found, note = read_review(judged, PairsManifest.read(judged))
    assert found is None and "is of other pairs" in note
    after = page_of(judged)
    assert "is of other pairs" in after.sections["review"] and "answers to the question" not in after.sections["review"]
    assert "other pairs" not in before.sections["review"]


def test_answers_after_the_summary_are_missed(judged: Workspace) -> None:
    judge(judged, {"Ada": ["same", "undo", "different"]})
    assert "lacks newer answers" in read_review(judged, PairsManifest.read(judged))[1]


def test_a_damaged_summary_is_said_to_be_so(judged: Workspace) -> None:
    path = judged.review / "review.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "slices": 3}))
    with pytest.raises(MinerError, match="damaged"):
        ReviewRecord.find(judged)


def test_the_verdict_of_the_pairs_knows_the_review(judged: Workspace) -> None:
    made = PairsManifest.read(judged)
    unlabelled = made.model_copy(update={"labels": None})
    assert pairs_verdict(judged, made) == made.verdict and "not known" in unlabelled.verdict
    assert "of the pairs are right, by 6 answers of a review" in pairs_verdict(judged, unlabelled)
    (judged.review / "review.json").write_text("{}")
    assert pairs_verdict(judged, unlabelled) == unlabelled.verdict
