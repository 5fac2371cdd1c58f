"""The summary of a review: `review.json`, the numbers on the page, and a table for the terminal."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from miner.engine import Record
from miner.review.estimation.judgements import Judgements, agreements, verdicts
from miner.review.estimation.precision import METHOD, Estimate, Stratum, stratified, wilson
from miner.statistics import CONFIDENCE
from miner.text import counted

if TYPE_CHECKING:
    from miner.review.pair_set import PairSet


def summarise_judgements(pairs: "PairSet", judgements: Judgements, outside: int = 0) -> Record:
    """The record that the page shows and `review.json` holds; `outside` decisions are about pairs that are not in this set."""
    found = verdicts(judgements)
    strata = _strata(pairs, found)
    judged = {
        name: {pair: answer for pair, answer in of_pair.items() if answer != "skip"}
        for name, of_pair in judgements.items()
    }
    answers = {name: Counter(of_pair.values()) for name, of_pair in judgements.items() if of_pair}
    return {
        "pairs": len(pairs),
        "pairs_identity": pairs.identity,
        **({} if pairs.sliced_by == "similarity" else {"sliced_by": pairs.sliced_by}),
        "labelled": sum(stratum.labelled for stratum in strata),
        "same": sum(stratum.same for stratum in strata),
        "disputed": sum(verdict is None for verdict in found.values()),
        "unsure": sum(count["unsure"] for count in answers.values()),
        "elsewhere": outside,
        "confidence": CONFIDENCE,
        "method": METHOD.format(pairs.sliced_by),
        "precision": _interval(stratified(strata)),
        "slices": [
            {
                "min": round(float(pairs.edges[number]), 6),
                "max": round(float(pairs.edges[number + 1]), 6),
                "pairs": stratum.pairs,
                "labelled": stratum.labelled,
                "same": stratum.same,
                "precision": _interval(wilson(stratum)),
            }
            for number, stratum in enumerate(strata)
            if stratum.pairs
        ],
        "reviewers": [
            {"name": name, **{answer: counts[answer] for answer in ("same", "different", "unsure", "skip")}}
            for name, counts in sorted(answers.items())
        ],
        "agreement": [{**agreement._asdict(), "kappa": _rounded(agreement.kappa)} for agreement in agreements(judged)],
    }


def summary_lines(record: Record) -> list[str]:
    """The record as a table for the terminal."""
    if not record["reviewers"]:
        return ["review: no decisions yet", *_outside(record)]
    people = ", ".join(
        f"{person['name']} {person['same'] + person['different'] + person['unsure']}" for person in record["reviewers"]
    )
    lines = [
        f"review: {record['labelled']:,} of {counted(record['pairs'], 'pair')} have a verdict, {record['same']:,} of them `same`; "
        f"{record['disputed']} disputed, {record['unsure']} times unsure ({people})",
        f"review: precision of all {counted(record['pairs'], 'pair')} {_percent(record['precision'])}",
        "",
        f"  {record.get('sliced_by', 'similarity'):<16}{'pairs':>10}{'judged':>8}{'same':>6}   precision (95% interval)",
    ]
    lines += [
        f"  {part['min']:.3f} to {part['max']:.3f}{part['pairs']:>12,}{part['labelled']:>8}{part['same']:>6}   "
        f"{_percent(part['precision'])}"
        for part in record["slices"]
    ]
    lines += [""] + [
        f"review: {pair['a']} and {pair['b']} agree on {pair['agreed']} of {counted(pair['pairs'], 'pair')}, "
        + (f"kappa {pair['kappa']:.2f}" if pair["kappa"] is not None else "kappa undefined (one answer only)")
        for pair in record["agreement"]
    ]
    return [*lines, *_outside(record)]


def _strata(pairs: "PairSet", found: Mapping[int, bool | None]) -> list[Stratum]:
    labelled: Counter[int] = Counter()
    same: Counter[int] = Counter()
    for pair, verdict in found.items():
        if verdict is not None:
            labelled[int(pairs.numbers[pair])] += 1
            same[int(pairs.numbers[pair])] += verdict
    return [Stratum(size, labelled[number], same[number]) for number, size in enumerate(pairs.sizes())]


def _interval(estimate: Estimate) -> dict[str, float | None]:
    return {"value": _rounded(estimate.value), "low": _rounded(estimate.low), "high": _rounded(estimate.high)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _percent(interval: Mapping[str, Any]) -> str:
    if interval["value"] is None:
        return "unknown"
    return f"{interval['value']:.1%} ({interval['low']:.1%} to {interval['high']:.1%})"


def _outside(record: Record) -> list[str]:
    count = record["elsewhere"]
    return [f"review: decisions about pairs outside this set, which the file keeps: {count:,}"] if count else []
