"""The summary of a study: means over seeds, and the gain of an arm over the best control.

`CONTROLS` do not pair different images: they train on own views alone, on self-pairs of random images, or on self-pairs of the
images in pairs. The gain of an arm is its difference to the best control of as many steps and the same method. The best control
has the highest mean over the seeds that it shares with the arm. So this choice works against the claim of the arm.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from miner.engine import Record
from miner.tables import interval_record

# What runs say of themselves; runs of earlier versions did not count their passes.
FACTS = ("steps", "forward_passes", "pairs", "pair_label_precision", "pair_images")
CONTROLS = ("none", "equal-steps", "random-added", "anchor-oversample", "matched-augmented", "matched-images")
_DIGITS = 4


def summarise_cells(cells: Sequence[Record], methods: Mapping[str, str] | None = None) -> list[Record]:
    """One record per arm, in the order of the cells; `methods` of the arms, by name, if they differ.

    Each has workspace, failures, steps, passes, pairs and their quality (means over seeds). `knn` has one entry per protocol:
    `accuracy` in percent and, for arms that are no controls, the `gain` over the best control in points; both with half the width
    of the 95 % interval.
    """
    by_arm: dict[str, list[Record]] = {}
    for cell in cells:
        by_arm.setdefault(cell["arm"], []).append(cell)
    done = {arm: [cell for cell in found if "error" not in cell] for arm, found in by_arm.items()}
    known = methods or {}
    return [
        _arm(arm, by_arm[arm], {name: found for name, found in done.items() if known.get(name) == known.get(arm)})
        for arm in by_arm
    ]


def _arm(arm: str, cells: list[Record], done: dict[str, list[Record]]) -> Record:
    own = done[arm]
    failed = [{"seed": cell["seed"], "error": cell["error"]} for cell in cells if "error" in cell]
    summary: Record = {"arm": arm, "workspace": cells[0]["workspace"], "seeds": _seeds(own), "failed": failed}
    if not own:
        return summary
    return {
        **summary,
        "pairs_arm": own[0]["pairs_arm"],
        **{name: _mean(own, name) for name in FACTS},
        "knn": [_protocol(number, arm, done) for number in range(len(own[0]["knn"]))],
    }


def _protocol(number: int, arm: str, done: dict[str, list[Record]]) -> Record:
    """Accuracy and gain under one protocol."""
    own = done[arm]
    result = own[0]["knn"][number]
    return {
        "k": result["k"],
        "temperature": result["temperature"],
        "accuracy": _interval([cell["knn"][number]["trained"] for cell in own]),
        "random_weights": round(fmean(cell["knn"][number]["random"] for cell in own), _DIGITS),
        "gain": _gain(number, own, done),
    }


def _gain(number: int, own: list[Record], done: dict[str, list[Record]]) -> Record | None:
    """The gain over the best control of as many steps, paired by seed; None for a control, or if there is no control."""
    if own[0]["pairs_arm"] in CONTROLS:
        return None
    found: list[tuple[float, str, list[int], Record]] = []
    for control, cells in done.items():
        theirs = {cell["seed"]: cell for cell in cells if cell["pairs_arm"] in CONTROLS}
        both = [(cell, theirs[cell["seed"]]) for cell in own if cell["seed"] in theirs]
        pairs = [(cell, other) for cell, other in both if other["steps"] == cell["steps"]]
        if pairs:
            level = fmean(other["knn"][number]["trained"] for _, other in pairs)
            differences = [cell["knn"][number]["trained"] - other["knn"][number]["trained"] for cell, other in pairs]
            found.append((level, control, _seeds([cell for cell, _ in pairs]), _interval(differences)))
    if not found:
        return None
    _, control, seeds, difference = max(found, key=lambda candidate: candidate[0])
    return {"control": control, "seeds": seeds, **difference}


def _interval(by_seed: list[float]) -> Record:
    return {**interval_record(by_seed, _DIGITS), "by_seed": [round(value, _DIGITS) for value in by_seed]}


def _mean(cells: list[Record], name: str) -> Any:
    """The mean over the cells that have this value; the value itself if all cells agree."""
    known = [cell[name] for cell in cells if cell.get(name) is not None]
    if not known:
        return None
    return known[0] if len(set(known)) == 1 else round(fmean(known), 6)


def _seeds(cells: list[Record]) -> list[int]:
    return [cell["seed"] for cell in cells]
