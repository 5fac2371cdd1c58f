"""`miner eval knn|linear --refined`: the features that `miner refine` wrote, in three modes, beside the raw ones."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.stage import finished_file
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, write_signed
from miner.evaluate.options import EvaluateOptions
from miner.refine.comparison.mode_features import RefinedEmbeddings, open_refined
from miner.refine.modes.held_out import test_source

if TYPE_CHECKING:
    from miner.refine.comparison.mode_features import ModeFeatures

Measure = Callable[["ModeFeatures", int], Record]


def test_images_of_refined(options: EvaluateOptions, workspace: Workspace) -> Record | None:
    """What `--refined` needs embedded in `test/`; None without `--refined`. Raises as `open_refined` and `test_source` do."""
    if not options.refined:
        return None
    open_refined(workspace, options.device)
    embeddings = EmbeddingsManifest.read(workspace)
    return test_source(embeddings, test=options.test, limit=options.limit, device=options.device)


def knn_of_refined(options: EvaluateOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify by weighted nearest neighbours -> refined/eval/knn.json; raises as `open_refined` and `mode_features` do."""
    record, fresh = _evaluated("knn", options, workspace, force, _measure_knn)
    found = {
        f"k={result['k']} T={result['temperature']}": {name: result[name] for name in record["features"]}
        for result in record["results"]
    }
    return _result("eval knn", "kNN", record, found, fresh)


def linear_of_refined(options: EvaluateOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify by logistic regression -> refined/eval/linear.json; raises as `open_refined` and `mode_features` do."""
    record, fresh = _evaluated("linear", options, workspace, force, _measure_linear)
    found = {"fast": {name: record["results"][name]["test"] for name in record["features"]}}
    return _result("eval linear", "linear", record, found, fresh)


def _evaluated(
    name: str, options: EvaluateOptions, workspace: Workspace, force: bool, measure: Measure
) -> tuple[Record, bool]:
    """The record of an evaluation, and whether it was made now."""
    refined, test = open_refined(workspace, options.device), EmbeddingsManifest.read(workspace.test)
    identity = {"refined": refined.manifest.identity, "test_embeddings": test.identity}
    path, request = workspace.refined.root / "eval" / f"{name}.json", {"evaluation": name, **identity}
    if (record := finished_file(path, request, force)) is not None:
        return record, False
    measured = _measured(refined, identity, test.source.spec, force, measure)
    return write_signed(path, {"request": request, **measured}), True


def _measured(refined: RefinedEmbeddings, identity: Record, test: str, force: bool, measure: Measure) -> Record:
    import torch

    from miner.learning.nearest import accuracy_percent
    from miner.refine.comparison.mode_features import mode_features

    data = mode_features(refined, identity, force)
    majority = torch.bincount(data.labels).argmax()
    return {
        "unit": "top-1 accuracy in percent",
        "network": refined.options.model_dump(mode="json", exclude={"device"}),
        "gallery": refined.manifest.source.spec,
        "test": test,
        "n_gallery": len(data.labels),
        "n_test": len(data.truth),
        "classes": int((torch.bincount(data.labels) > 0).sum()),
        "majority": accuracy_percent(majority.expand_as(data.truth), data.truth),
        **measure(data, refined.options.seed),
    }


def _measure_knn(data: "ModeFeatures", seed: int) -> Record:
    from miner.evaluate.knn import knn_record
    from miner.learning.nearest import accuracies_by_protocol

    count = len(data.labels)
    top1 = {
        name: accuracies_by_protocol(rows[count:], rows[:count], data.labels, data.truth, data.class_count)
        for name, rows in data.features
    }
    return {"features": list(top1), **knn_record(top1, count)}


def _measure_linear(data: "ModeFeatures", seed: int) -> Record:
    from miner.refine.comparison.scores import score_linear

    results = {
        name: score_linear({1.0: rows}, data.labels, data.truth, data.class_count, seed) for name, rows in data.features
    }
    return {
        "features": list(results),
        "protocol": "fast",
        "chosen_by": "a random fifth of the training images, from the seed of the network",
        "results": results,
    }


def _result(name: str, kind: str, record: Record, found: dict[str, dict[str, float]], fresh: bool) -> Result:
    """Accuracies by setting and features, for people: the inductive ones first."""
    shown = {
        setting: ", ".join(f"{features} {percent:.1f} %" for features, percent in accuracies.items())
        for setting, accuracies in found.items()
    }
    sizes = f"(train {record['n_gallery']:,}, test {record['n_test']:,})"
    lines = [f"{name}: refined, {setting}: {accuracies} {sizes}" for setting, accuracies in shown.items()]
    lines.append(f"{name}: majority class {record['majority']:.1f} %; {record['classes']} classes")
    headline = [(f"{kind} accuracy, refined ({setting})", accuracies) for setting, accuracies in shown.items()]
    return Result(name, record, lines, fresh, headline)
