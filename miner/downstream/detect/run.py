"""`miner eval detect`: average precision of a detector whose backbone is the network, beside other networks in the same test."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.stage_folder import Stage, finished_file
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, read_json, write_signed
from miner.evaluate.detect_options import DetectOptions

if TYPE_CHECKING:
    from miner.downstream.network import JudgedNetwork

# The annotations are compared by their checksum, not by their place.
_NOT_OF_TEST = ("network", "train", "test")


def detect(options: DetectOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Train a detector on photographs with boxes, and test it on others -> eval/detect.json, of a run in its folder.

    Raises:
        MinerError: there is no such network, the annotations are damaged, or the result of another request is in the way.
    """
    from miner.downstream.detect.annotations import open_annotated
    from miner.downstream.network import find_network

    network = find_network(options, workspace)
    train = open_annotated(options.train)
    test = open_annotated(options.test, train)
    request = {
        **options.request(),
        "network": network.identity(),
        "annotations": {"train": train.identity(), "test": test.identity()},
    }
    name = f"detect{f'-seed{options.seed}' if options.seed else ''}{network.ending}"
    path = network.folder / f"{name}.json"
    if (record := finished_file(path, request, force)) is not None:
        return _detected(record, network, workspace, False, path)
    from miner.downstream.detect.measure import measure

    parts = Stage(network.folder / f"{name}.parts", request, (), ("last.pt", "last.previous.pt"))
    parts.begin(force)
    found = measure(options, network, train, test, parts.folder / "last.pt")
    record = write_signed(path, {"request": request, **found})
    parts.discard()
    return _detected(record, network, workspace, True, path)


def _detected(record: Record, network: "JudgedNetwork", workspace: Workspace, fresh: bool, path: Path) -> Result:
    scores = ", ".join(f"{name} {_percent(record[rule][key])} ({rule})" for name, rule, key in _SHOWN)
    lines = [
        f"eval detect: {record['network']}: {scores}",
        f"eval detect: {record['iterations']:,} steps of {record['batch_size']} photographs, train {record['n_train']:,}, "
        f"test {record['n_test']:,}, {len(record['classes'])} classes",
        f"eval detect: {verdict_of_detection(record, same_tests(record, workspace), network.control)}",
    ]
    return Result("eval detect", record, lines, fresh, [("detection", scores)], path=path)


_SHOWN = (("AP50", "voc", "ap50"), ("AP", "coco", "ap"))


def same_tests(record: Record, workspace: Workspace) -> list[Record]:
    """The records of other networks in the workspace, with the same photographs and settings."""
    folders = [workspace.root, *workspace.runs()]
    others = [read_json(path) for folder in folders for path in sorted((folder / "eval").glob("detect*.json"))]
    return [
        other
        for other in others
        if other is not None and _test_of(other) == _test_of(record) and other["network"] != record["network"]
    ]


def _test_of(record: Record) -> Record:
    """What networks must have in common to be compared."""
    return {name: value for name, value in record["request"].items() if name not in _NOT_OF_TEST}


def verdict_of_detection(record: Record, others: list[Record], control: str | None) -> str:
    """One sentence: better or worse in VOC's AP50 than each of the others, or which control is missing."""
    ours, parts = record["voc"]["ap50"], []
    if ours is None:
        return "AP50 is unknown: the test photographs have no object that counts"
    for other in others:
        theirs = other["voc"]["ap50"]
        word = "better than" if ours > theirs else "worse than" if ours < theirs else "as good as"
        parts.append(f"{word} {other['network']} ({theirs:.1f} %, {ours - theirs:+.1f} points)")
    if not parts:
        missing = f"--network {shlex.quote(control)}" if control else "another network"
        return f"no control yet: run the same command with {missing}"
    return f"AP50 is {' and '.join(parts)}; one seed each, so a small difference says nothing"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} %"
