"""What people said about the pairs: their numbers, and the pairs on which they disagree."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from miner.artifacts.review import percent_interval, slice_name
from miner.engine import Record
from miner.report.findings import Findings
from miner.text import counted

_DISAGREEMENTS_SHOWN = 12


def review_section(findings: Findings) -> Record | None:
    """The variables of the section, without pictures; None where nobody has judged a pair."""
    found = findings.review
    if found is None:
        return {"note": findings.review_note, "slices": []} if findings.review_note else None
    return {
        "note": findings.review_note,
        "sentences": [*found.sentences, *found.advice],
        "command": (found.narrower or {}).get("command"),
        "tried": [
            {**one, "gives": percent_interval(one["precision"])}
            for one in (found.narrower or {}).get("tried", [])
            if one["labelled"]
        ],
        "sliced_by": found.sliced_by,
        "slices": [
            {**part, "name": slice_name(part, found.sliced_by), "gives": percent_interval(part["precision"])}
            for part in found.slices
        ],
        "reviewers": [f"{each['a']} and {each['b']}: {_agreement(each)}" for each in found.agreement],
    }


def disputed_pairs(findings: Findings, pairs: pa.Table, metadata: pa.Table) -> list[tuple[Record, list[str]]]:
    """Some pairs on which reviewers disagree, as rows of the table of pairs, and what each of them said."""
    found = (findings.review.disagreements if findings.review else [])[:_DISAGREEMENTS_SHOWN]
    rows = []
    for one in found:
        ends = pc.index_in(pa.array([one["key_a"], one["key_b"]]), metadata["key"].combine_chunks()).to_pylist()
        if None not in ends:
            chosen = pc.and_(pc.equal(pairs["a"], min(ends)), pc.equal(pairs["b"], max(ends)))
            rows += [(row, _answers(one["answers"])) for row in pairs.filter(chosen).to_pylist()]
    return rows


def _answers(answers: Mapping[str, str]) -> list[str]:
    return [f"{reviewer}: {answer}" for reviewer, answer in sorted(answers.items())]


def _agreement(each: Record) -> str:
    kappa = f"; Cohen's kappa {each['meaning']}" if "meaning" in each else ""
    return f"{each['agreed']} of {counted(each['pairs'], 'pair')} equal{kappa}"
