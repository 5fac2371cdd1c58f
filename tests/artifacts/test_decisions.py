import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.artifacts.decisions import Decision, read_decisions, rejected, standing
from miner.errors import MinerError

RECORD = {
    "key_a": "a",
    "key_b": "b",
    "decision": "same",
    "reviewer": "Zoë",
    "time": "2025-03-01T12:00:00Z",
    "similarity": 0.97,
    "slice": [0.965, 0.97],
}


def decide(decision: str, reviewer: str = "r", pair: str = "ab") -> Decision:
    return Decision.model_validate(
        {**RECORD, "key_a": pair[0], "key_b": pair[1], "decision": decision, "reviewer": reviewer}
    )


def test_lines_come_back_as_they_were_written(tmp_path: Path) -> None:
    decisions = [decide("same"), decide("undo", "Zoë"), decide("different", pair="ba")]
    path = tmp_path / "decisions.jsonl"
    path.write_text("".join(decision.line() for decision in decisions))
    assert read_decisions(path) == decisions
    assert json.loads(path.read_text().splitlines()[0]) == {**RECORD, "reviewer": "r"}


def test_half_written_last_line_is_left_out_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    whole = decide("same").line()
    for length in range(1, len(whole)):
        path.write_text(whole + whole[:length])
        with pytest.warns(UserWarning, match="line 2 is half-written"):
            assert read_decisions(path) == [decide("same")]
    path.write_text("")
    assert read_decisions(path) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "EOF"),
        (b"\xff", "Invalid JSON"),
        (b"[1]", "object"),
        (b'{"key_a": "a"}', "key_b"),
        (json.dumps({**RECORD, "decision": "maybe"}).encode(), "decision"),
        (json.dumps({**RECORD, "time": "yesterday"}).encode(), "time"),
        (json.dumps({**RECORD, "time": "2025-03-01T12:00:00+02:00"}).encode(), "UTC"),
        (json.dumps({**RECORD, "slice": [0.1]}).encode(), "slice"),
        (json.dumps({**RECORD, "similarity": float("nan")}).encode(), "similarity"),
        (json.dumps({**RECORD, "reviewer": 3}).encode(), "reviewer"),
    ],
)
def test_any_other_broken_line_is_named(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "decisions.jsonl"
    good = decide("same").line().encode()
    path.write_bytes(good + line + b"\n" + good)
    with pytest.raises(MinerError, match=rf"decisions.jsonl, line 2 is no decision.*{reason}"):
        read_decisions(path)


def test_unknown_fields_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(json.dumps({**RECORD, "comment": "blue"}) + "\n")
    assert read_decisions(path) == [decide("same", "Zoë")]


def test_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(MinerError, match="cannot be read"):
        read_decisions(tmp_path / "decisions.jsonl")


@pytest.mark.parametrize(
    ("said", "out"),
    [
        (["different"], True),
        (["different", "undo"], False),
        (["different", "undo", "different"], True),
        (["same", "different"], True),
        (["different", "same"], False),
        (["different", "unsure"], False),
        (["near-duplicate"], True),
        (["near-duplicate", "same"], False),
        (["skip"], False),
        (["undo"], False),
    ],
)
def test_last_word_of_one_reviewer_counts(said: list[str], out: bool) -> None:
    assert rejected([decide(word, pair=("ab", "ba")[number % 2]) for number, word in enumerate(said)]) == (
        {("a", "b")} if out else set()
    )


def test_majority_rejects_and_a_tie_keeps() -> None:
    assert rejected([decide("different", "r"), decide("same", "s")]) == set()
    assert rejected([decide("different", "r"), decide("same", "s"), decide("near-duplicate", "t")]) == {("a", "b")}
    assert rejected([decide("different", "r"), decide("unsure", "s"), decide("skip", "t")]) == {("a", "b")}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["same", "different", "unsure", "skip", "undo"]),
            st.sampled_from("rst"),
            st.sampled_from(["ab", "ba", "ac"]),
        )
    )
)
def test_standing_is_the_last_line_of_each_reviewer_and_pair(lines: list[tuple[str, str, str]]) -> None:
    found = standing(decide(*line) for line in lines)
    expected = {}
    for word, reviewer, pair in lines:
        expected[reviewer, tuple(sorted(pair))] = word
    expected = {place: word for place, word in expected.items() if word != "undo"}
    assert {place: decision.decision for place, decision in found.items()} == expected
    votes = Counter((pair, word) for (_, pair), word in expected.items())
    pairs = {pair for _, pair in expected}
    assert rejected(decide(*line) for line in lines) == {
        pair for pair in pairs if votes[pair, "different"] > votes[pair, "same"]
    }
