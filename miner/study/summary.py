"""The summary of a study: means over seeds, and the gain of an arm over the best control.

`CONTROLS` do not pair different images: they train on own views alone, on self-pairs of random images, or on self-pairs of the
images in pairs. The gain of an arm is its difference to the best control of as many steps and the same method. A control that works
more in a step, with a third view, is none of arms without one. Of the controls that share the most seeds with the arm, the best
has the highest mean over these seeds. So this choice works against the claim of the arm.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from miner.engine import Record
from miner.tables import interval_record

# What runs say of themselves; runs of earlier versions did not count their passes.
FACTS = ("steps", "forward_passes", "pairs", "pair_label_precision", "pair_images")
CONTROLS = ("none", "equal-steps", "random-added", "anchor-oversample", "matched-augmented", "matched-images")
_DIGITS = 4
Value = Callable[[Record], float]


def summarise_cells(cells: Sequence[Record], methods: Mapping[str, str] | None = None) -> list[Record]:
    """One record per arm, in the order of the cells; `methods` of the arms, by name, if they differ.

    Each has workspace, failures, steps, passes, pairs and their quality (means over seeds). `knn` has one entry per protocol:
    `accuracy` in percent and, for arms that are no controls, the `gain` over the best control in points; both with half the width
    of the 95 % interval. `linear` has the same, if the study asks for it. `per_class` is the kNN accuracy of each class under the
    first protocol, and its mean.
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
        **({"linear": _measure(arm, done, lambda cell: cell["linear"])} if own[0].get("linear") is not None else {}),
        **({"per_class": _by_class(own)} if own[0].get("per_class") else {}),
    }


def _protocol(number: int, arm: str, done: dict[str, list[Record]]) -> Record:
    """Accuracy and gain under one protocol."""
    own = done[arm]
    result = own[0]["knn"][number]
    found = _measure(arm, done, lambda cell: cell["knn"][number]["trained"])
    return {
        "k": result["k"],
        "temperature": result["temperature"],
        "accuracy": found["accuracy"],
        "random_weights": round(fmean(cell["knn"][number]["random"] for cell in own), _DIGITS),
        "gain": found["gain"],
    }


def _measure(arm: str, done: dict[str, list[Record]], value: Value) -> Record:
    return {"accuracy": _interval([value(cell) for cell in done[arm]]), "gain": _gain(value, done[arm], done)}


def _by_class(own: list[Record]) -> Record:
    classes = own[0]["per_class"]
    means = {name: round(fmean(cell["per_class"][name] for cell in own), _DIGITS) for name in classes}
    return {"mean": _interval([fmean(cell["per_class"].values()) for cell in own]), "classes": means}


def _gain(value: Value, own: list[Record], done: dict[str, list[Record]]) -> Record | None:
    """The gain over the best control of as many steps and no more forward passes, paired by seed.

    None for a control, or if there is no control.
    """
    if own[0]["pairs_arm"] in CONTROLS:
        return None
    found: list[tuple[float, str, list[int], Record]] = []
    for control, cells in done.items():
        theirs = {cell["seed"]: cell for cell in cells if cell["pairs_arm"] in CONTROLS}
        both = [(cell, theirs[cell["seed"]]) for cell in own if cell["seed"] in theirs]
        pairs = [(cell, other) for cell, other in both if other["steps"] == cell["steps"] and not _more(other, cell)]
        if pairs:
            level = fmean(value(other) for _, other in pairs)
            differences = [value(cell) - value(other) for cell, other in pairs]
            found.append((level, control, _seeds([cell for cell, _ in pairs]), _interval(differences)))
    if not found:
        return None
    most = max(len(seeds) for _, _, seeds, _ in found)  # means over other seeds are not comparable
    _, control, seeds, difference = max((one for one in found if len(one[2]) == most), key=lambda one: one[0])
    return {"control": control, "seeds": seeds, **difference}


def _more(cell: Record, than: Record) -> bool:
    """Whether a run takes more forward passes than another one, as far as both have counted them."""
    passes, others = cell.get("forward_passes"), than.get("forward_passes")
    return passes is not None and others is not None and passes > others


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
