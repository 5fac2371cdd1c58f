"""`miner eval knn|linear --refined`: the features that `miner refine` wrote, in three modes, beside the raw ones."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from miner.artifacts.stage import finished_file
from miner.artifacts.workspace import Workspace
from miner.engine.records import Record, write_signed
from miner.engine.result import Result
from miner.evaluate.options import EvaluateOptions
from miner.refine.comparison.test_features import Refined, open_refined
from miner.refine.run import refined_workspace

if TYPE_CHECKING:
    from miner.refine.comparison.test_features import Judged

Measure = Callable[["Judged", int], Record]


def knn_of_refined(options: EvaluateOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify by weighted nearest neighbours -> refined/eval/knn.json; raises as `open_refined` and `judged` do."""
    record, fresh = _record("knn", options, workspace, force, _measure_knn)
    found = {
        f"k={result['k']} T={result['temperature']}": {name: result[name] for name in record["features"]}
        for result in record["results"]
    }
    return _result("eval knn", "kNN", record, found, fresh)


def linear_of_refined(options: EvaluateOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify by logistic regression -> refined/eval/linear.json; raises as `open_refined` and `judged` do."""
    record, fresh = _record("linear", options, workspace, force, _measure_linear)
    found = {"fast": {name: record["results"][name]["test"] for name in record["features"]}}
    return _result("eval linear", "linear", record, found, fresh)


def _record(
    name: str, options: EvaluateOptions, workspace: Workspace, force: bool, measure: Measure
) -> tuple[Record, bool]:
    """The record of an evaluation, and whether it was made now."""
    refined = open_refined(workspace, test=options.test, limit=options.limit, device=options.device, force=force)
    path = refined_workspace(workspace).root / "eval" / f"{name}.json"
    request = {"evaluation": name, **refined.identity}
    if (record := finished_file(path, request, force)) is not None:
        return record, False
    return write_signed(path, {"request": request, **_measured(refined, force, measure)}), True


def _measured(refined: Refined, force: bool, measure: Measure) -> Record:
    import torch

    from miner.learning.knn import accuracy_percent
    from miner.refine.comparison.test_features import judged

    subject = judged(refined, force)
    majority = torch.bincount(subject.labels).argmax()
    return {
        "unit": "top-1 accuracy in percent",
        "network": refined.options.model_dump(mode="json", exclude={"device"}),
        "gallery": refined.manifest["source"]["spec"],
        "test": refined.test["source"]["spec"],
        "n_gallery": len(subject.labels),
        "n_test": len(subject.truth),
        "classes": int((torch.bincount(subject.labels) > 0).sum()),
        "majority": accuracy_percent(majority.expand_as(subject.truth), subject.truth),
        **measure(subject, refined.options.seed),
    }


def _measure_knn(subject: "Judged", seed: int) -> Record:
    from miner.evaluate.knn import knn_record
    from miner.learning.knn import accuracies_by_protocol

    count = len(subject.labels)
    top1 = {
        name: accuracies_by_protocol(rows[count:], rows[:count], subject.labels, subject.truth, subject.class_count)
        for name, rows in subject.features
    }
    return {"features": list(top1), **knn_record(top1, count)}


def _measure_linear(subject: "Judged", seed: int) -> Record:
    from miner.refine.comparison.scores import score_linear

    results = {
        name: score_linear({1.0: rows}, subject.labels, subject.truth, subject.class_count, seed)
        for name, rows in subject.features
    }
    return {
        "features": list(results),
        "protocol": "fast",
        "chosen_by": "a random fifth of the training images, from the seed of the network",
        "results": results,
    }


def _result(name: str, kind: str, record: Record, found: dict[str, dict[str, float]], fresh: bool) -> Result:
    """Accuracies by setting and features, for people: the inductive ones first."""
    said = {
        setting: ", ".join(f"{features} {percent:.1f} %" for features, percent in accuracies.items())
        for setting, accuracies in found.items()
    }
    sizes = f"(train {record['n_gallery']:,}, test {record['n_test']:,})"
    lines = [f"{name}: refined, {setting}: {accuracies} {sizes}" for setting, accuracies in said.items()]
    lines.append(f"{name}: majority class {record['majority']:.1f} %; {record['classes']} classes")
    headline = [(f"{kind} accuracy, refined ({setting})", accuracies) for setting, accuracies in said.items()]
    return Result(name, record, lines, fresh, headline)
