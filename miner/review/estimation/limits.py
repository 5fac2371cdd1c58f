"""Narrower rules that the answers speak for: a limit, the pairs that it would keep, and their precision."""

import math
import shlex
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.review import percent_interval
from miner.engine import Record
from miner.options import flag_name
from miner.review.estimation.judgements import verdicts_by_slice
from miner.review.estimation.precision import stratified
from miner.statistics import CONFIDENCE
from miner.text import counted

if TYPE_CHECKING:
    from miner.review.pair_set import PairSet

Verdicts = Mapping[int, str | None]
Change = dict[str, Any]

TARGET = 0.95
MANY_NEAR_DUPLICATES = 0.05
_FEWEST_NEAR_DUPLICATES = 3
_CLEARLY_MORE = 1.1  # pairs that another rule must keep beside a higher --min, to be proposed in its place
_SHARES = np.arange(1, 10) / 10
# What a request of `miner pairs` holds beside options, and options of which it holds no value that a command could repeat.
_NO_OPTIONS, _UNKNOWN = ("embeddings", "band"), ("agree", "table", "metadata")


def narrower_rules(pairs: "PairSet", found: Verdicts) -> Record | None:
    """What higher limits would keep, which of them the answers speak for, and the --max that leaves out near-duplicates.

    A limit keeps a part of each slice, and the judged pairs in it are a random sample of that part. The estimate is therefore
    that of all pairs, over parts. The intervals hold for all limits at once, as each is that of a share 0.05 / limits
    (Bonferroni): choosing one of them afterwards makes none wrong.

    Args:
        found: the verdict on each judged pair.
    Returns:
        What stands in `review.json` as `narrower`; None for leaks, which no `miner pairs` has mined.
    """
    if (mined := pairs.mined) is None:
        return None
    overall = stratified([part.right for part in verdicts_by_slice(pairs, found)]).value
    candidates = [(change, kept) for change, kept in _candidates(pairs, mined) if 0 < kept.sum() < len(kept)]
    z = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / max(len(candidates), 1))
    tried = [_tried(pairs, found, change, kept, z) for change, kept in candidates]
    proposed = None if overall is None or overall >= TARGET else _proposed(tried, overall)
    lower_max = _lower_max(pairs, found)
    changes = {**(proposed["options"] if proposed else {}), **({"max": lower_max["max"]} if lower_max else {})}
    sentences = [*_about_near_duplicates(lower_max), *_about_limits(proposed, overall, len(pairs))]
    return {
        "target": TARGET,
        "tried": tried,
        "proposed": proposed,
        "lower_max": lower_max,
        "sentences": sentences,
        "command": _command(mined, changes) if changes else None,
    }


def _candidates(pairs: "PairSet", mined: PairsManifest) -> Iterator[tuple[Change, NDArray[np.bool_]]]:
    """Options that would keep fewer pairs, and which pairs; up to nine for each column, from 90 % to 10 % of the pairs."""
    rule, columns = mined.request.rule, {name: pairs.evidence[name].to_numpy() for name in pairs.evidence.column_names}
    rising = {"min": "similarity", "shared": "shared", "local": "local", "at_least": "votes"}
    for option, column in rising.items():
        if column not in columns or (option in ("shared", "local") and option != rule):
            continue
        values = columns[column]
        for limit in _limits(values):
            yield {option: limit}, values >= limit
    if rule == "mutual":
        ranks = np.maximum(columns["rank_a"], columns["rank_b"])
        for limit in _limits(ranks):
            yield {"neighbors": limit}, ranks <= limit
    elif rule in ("band", "knn") and "mutual" in columns:
        yield {"mutual": True} if rule == "band" else {"rule": "mutual"}, columns["mutual"]


def _limits(values: NDArray[Any]) -> list[Any]:
    limits = np.unique(np.quantile(values, _SHARES, method="higher"))
    whole = np.issubdtype(values.dtype, np.integer)
    return limits.tolist() if whole else sorted({math.ceil(limit * 1000) / 1000 for limit in limits.tolist()})


def _tried(pairs: "PairSet", found: Verdicts, change: Change, kept: NDArray[np.bool_], z: float) -> Record:
    parts = verdicts_by_slice(pairs, found, kept)
    estimate = stratified([part.right for part in parts if part.pairs], z)
    return {
        "options": change,
        "change": _in_words(change),
        "pairs": int(kept.sum()),
        "labelled": sum(part.right.labelled for part in parts),
        "precision": estimate.record(),
    }


def _proposed(tried: list[Record], overall: float) -> Record | None:
    """The widest rule that reaches the target, or else the surest; of those whose whole interval lies above all pairs."""
    better = [one for one in tried if one["precision"]["value"] is not None and one["precision"]["low"] > overall]
    enough = [one for one in better if one["precision"]["value"] >= TARGET]
    if enough:
        return max(enough, key=lambda one: one["pairs"] * (_CLEARLY_MORE if "min" in one["options"] else 1))
    return max(better, key=lambda one: one["precision"]["low"], default=None)


def _lower_max(pairs: "PairSet", found: Verdicts) -> Record | None:
    """The --max that leaves out more near-duplicates than other pairs, if there are many and such a --max exists."""
    judged = [pair for pair, verdict in found.items() if verdict is not None]
    near = np.asarray([found[pair] == "near-duplicate" for pair in judged], bool)
    share = stratified([part.repeated for part in verdicts_by_slice(pairs, found)]).value
    if near.sum() < _FEWEST_NEAR_DUPLICATES or share is None or share < MANY_NEAR_DUPLICATES:
        return None
    numbers, similarity = pairs.numbers[judged], pairs.similarity[judged]
    weight = (np.bincount(pairs.numbers) / np.maximum(np.bincount(numbers, minlength=pairs.numbers.max() + 1), 1))[
        numbers
    ]
    order = np.argsort(-similarity, kind="stable")
    gain = np.cumsum(np.where(near, weight, -weight)[order])
    if gain.max() <= 0:
        return None
    limit = math.ceil(float(similarity[order[gain.argmax()]]) * 1000 - 1) / 1000
    out = similarity > limit
    return {
        "max": limit,
        "pairs": int((pairs.similarity > limit).sum()),
        "near_duplicates": int((out & near).sum()),
        "others": int((out & ~near).sum()),
    }


def _about_near_duplicates(lower_max: Record | None) -> list[str]:
    if lower_max is None:
        return []
    near, others = (
        counted(lower_max["near_duplicates"], "judged near-duplicate"),
        counted(lower_max["others"], "other judged pair"),
    )
    return [
        f"Many pairs are near-duplicates. Lowering --max to {lower_max['max']:g} would leave out {near}, {others} and "
        f"{counted(lower_max['pairs'], 'pair')} in all."
    ]


def _about_limits(proposed: Record | None, overall: float | None, pairs: int) -> list[str]:
    if proposed:
        change, gives = proposed["change"], percent_interval(proposed["precision"])
        return [
            f"{change.capitalize()} would give {gives}, and keep {proposed['pairs']:,} of {counted(pairs, 'pair')}."
        ]
    if overall is None or overall >= TARGET:
        return []
    return ["By these answers no narrower rule is clearly better. More answers may show one."]


def _in_words(change: Change) -> str:
    ((name, value),) = change.items()
    if isinstance(value, bool | str):
        return f"adding {_flag(name, value)}"
    return f"{'lowering' if name == 'neighbors' else 'raising'} {flag_name(name)} to {value:g}"


def _command(mined: PairsManifest, change: Change) -> str | None:
    """The command that mined the pairs, with a change; None if the request does not hold all of its options."""
    asked, band = mined.asked, mined.request.band
    if any(asked.get(name) for name in _UNKNOWN):
        return None
    limits = {"min": None if band.low == -1 else band.low, "max": band.high}
    kept = {name: value for name, value in asked.items() if name not in _NO_OPTIONS}
    return "".join(["miner pairs", *(f" {_flag(*each)}" for each in ({**kept, **limits, **change}).items() if each[1])])


def _flag(name: str, value: Any) -> str:
    if value is True:
        return flag_name(name)
    texts = [
        f"{one:g}" if isinstance(one, float) else str(one) for one in (value if isinstance(value, list) else [value])
    ]
    return f"{flag_name(name)} {shlex.join(texts)}"


def narrower_lines(record: Record, flag: str) -> list[str]:
    """What the answers say about narrower rules, for the terminal.

    Args:
        record: that of the review.
        flag: of the workspace, for the command.
    """
    narrower = record["narrower"]
    if not narrower:
        return []
    lines = [f"review: {sentence}" for sentence in narrower["sentences"]]
    if narrower["command"]:
        lines.append(f"review: the pairs again, so narrowed: {narrower['command']} --force{flag}")
    return lines
