"""The question of a review, and what `miner review` says without a server."""

from pathlib import Path

import pytest

from miner.artifacts.decisions import QUESTION
from miner.errors import MinerError, UsageError
from miner.review.options import ReviewOptions
from miner.review.run import question_of, review
from tests.review.decisions import decision

SHOES = decision().model_copy(update={"question": "Same model of shoe?"})


def test_a_review_keeps_its_question() -> None:
    assert question_of([], None, Path("f")) == QUESTION == question_of([decision()], None, Path("f"))
    assert question_of([], "Same shop?", Path("f")) == "Same shop?"
    assert question_of([SHOES], None, Path("f")) == "Same model of shoe?"


@pytest.mark.parametrize(("answers", "wanted"), [([SHOES], QUESTION), ([decision()], "Same shop?")])
def test_another_question_is_not_mixed_in(answers, wanted) -> None:
    with pytest.raises(UsageError, match="another question"):
        question_of(answers, wanted, Path("f"))


def test_a_file_with_two_questions_is_refused(workspace) -> None:
    workspace.review.mkdir()
    (workspace.review / "decisions.jsonl").write_text(decision().line() + SHOES.line())
    with pytest.raises(MinerError, match="several questions"):
        review(ReviewOptions(summary=True), workspace)


def test_only_another_question_stands_in_a_line() -> None:
    assert "question" not in decision().line() and '"question": "Same model of shoe?"' in SHOES.line()


def test_a_question_is_one_printable_line() -> None:
    assert ReviewOptions.parse({"question": " Same\n shop? "}).question == "Same shop?"
    for text in ("", "\x07", "x" * 201):
        with pytest.raises(UsageError, match="--question"):
            ReviewOptions.parse({"question": text})
