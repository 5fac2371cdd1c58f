"""The summary of a review: `review.json`, the numbers on the page, and a table for the terminal."""

from collections import Counter
from typing import TYPE_CHECKING

from miner.artifacts.decisions import QUESTION
from miner.artifacts.review import percent_interval, slice_name
from miner.engine import Record
from miner.review.estimation.agreement import agreement_in_words, agreement_of_all, agreements, common_pairs
from miner.review.estimation.judgements import Judgements, verdicts, verdicts_by_slice
from miner.review.estimation.precision import METHOD, stratified, wilson
from miner.statistics import CONFIDENCE
from miner.text import counted

if TYPE_CHECKING:
    from miner.review.pair_set import PairSet
ANSWERS = ("same", "near-duplicate", "different", "unsure")
_DISAGREEMENTS = 100


def summarise_judgements(
    pairs: "PairSet", judgements: Judgements, outside: int = 0, question: str = QUESTION
) -> Record:
    """The record that the page shows and `review.json` holds; `outside` decisions are about pairs that are not in this set.

    `labelled` pairs are same or different, as most reviewers say. Their share of `same` estimates the precision of the pairs that
    are no near-duplicates. `agreement` has every two reviewers, and `common` all of them at once.
    """
    found = verdicts(judgements)
    slices = verdicts_by_slice(pairs, found)
    judged = {
        name: {pair: answer for pair, answer in of_pair.items() if answer != "skip"}
        for name, of_pair in judgements.items()
    }
    answers = {name: Counter(of_pair.values()) for name, of_pair in judgements.items() if of_pair}
    common = common_pairs(judged)
    together = agreement_of_all([list(given.values()) for given in common.values()])
    return {
        "pairs": len(pairs),
        "pairs_identity": pairs.identity,
        **({} if pairs.sliced_by == "similarity" else {"sliced_by": pairs.sliced_by}),
        "question": question,
        "labelled": sum(part.right.labelled for part in slices),
        "same": sum(part.same for part in slices),
        "near_duplicates": sum(part.near_duplicates for part in slices),
        "disputed": sum(verdict is None for verdict in found.values()),
        "unsure": sum(count["unsure"] for count in answers.values()),
        "elsewhere": outside,
        "confidence": CONFIDENCE,
        "method": METHOD.format(pairs.sliced_by),
        "precision": stratified([part.right for part in slices]).record(),
        "near_duplicate_share": stratified([part.repeated for part in slices]).record(),
        "slices": [
            {
                "min": round(float(pairs.edges[number]), 6),
                "max": round(float(pairs.edges[number + 1]), 6),
                "pairs": part.pairs,
                "labelled": part.right.labelled,
                "same": part.same,
                "near_duplicates": part.near_duplicates,
                "precision": wilson(part.right).record(),
            }
            for number, part in enumerate(slices)
            if part.pairs
        ],
        "reviewers": [
            {"name": name, **{answer: counts[answer] for answer in (*ANSWERS, "skip")}}
            for name, counts in sorted(answers.items())
        ],
        "agreement": [{**each._asdict(), **_coefficient("kappa", each.kappa)} for each in agreements(judged)],
        "common": {**together._asdict(), **_coefficient("alpha", together.alpha)},
        "disagreements": [
            {**dict(zip(("key_a", "key_b"), pairs.keys(pair), strict=True)), "answers": given}
            for pair, given in common.items()
            if len(set(given.values())) > 1
        ][:_DISAGREEMENTS],
    }


def summary_lines(record: Record) -> list[str]:
    """The record as a table for the terminal."""
    if not record["reviewers"]:
        return ["review: no decisions yet", *_outside(record)]
    people = ", ".join(
        f"{person['name']} {sum(person[answer] for answer in ANSWERS)}" for person in record["reviewers"]
    )
    repeated = f"{record['near_duplicates']:,} near-duplicates, " if record["near_duplicates"] else ""
    sliced_by = record.get("sliced_by", "similarity")
    lines = [
        f"review: question: {record['question']}",
        f"review: {record['labelled']:,} of {counted(record['pairs'], 'pair')} have a verdict, {record['same']:,} of them `same`; "
        f"{repeated}{record['disputed']} disputed, {record['unsure']} times unsure ({people})",
        f"review: precision of all {counted(record['pairs'], 'pair')} {percent_interval(record['precision'])}",
        *(
            [f"review: near-duplicates among all pairs {percent_interval(record['near_duplicate_share'])}"]
            if record["near_duplicates"]
            else []
        ),
        "",
        f"  {sliced_by:<16}{'pairs':>10}{'judged':>8}{'same':>6}   precision (95% interval)",
    ]
    lines += [
        f"  {slice_name(part, sliced_by):<14}{part['pairs']:>12,}{part['labelled']:>8}{part['same']:>6}   "
        f"{percent_interval(part['precision'])}"
        for part in record["slices"]
    ]
    return [*lines, "", *_agreement_lines(record), *_outside(record)]


def _agreement_lines(record: Record) -> list[str]:
    common, lines = record["common"], []
    if len(record["agreement"]) > 1:
        lines.append(
            f"review: all agree on {common['agreed']} of {counted(common['pairs'], 'pair')} that several have judged, "
            f"Krippendorff's alpha {agreement_in_words(common['alpha'])}"
        )
    lines += [
        f"review: {each['a']} and {each['b']} agree on {each['agreed']} of {counted(each['pairs'], 'pair')}, "
        f"Cohen's kappa {agreement_in_words(each['kappa'])}"
        for each in record["agreement"]
    ]
    if record["disagreements"]:
        lines.append("review: `miner report` shows the pairs on which they disagree")
    return lines


def _coefficient(name: str, value: float | None) -> Record:
    return {name: _rounded(value), "meaning": agreement_in_words(value)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _outside(record: Record) -> list[str]:
    count = record["elsewhere"]
    return [f"review: decisions about pairs outside this set, which the file keeps: {count:,}"] if count else []
