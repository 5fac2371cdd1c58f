"""`miner eval knn|linear --refined`: the features that `miner refine` wrote, in three modes, beside the raw ones."""

from pathlib import Path

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import RefinedManifest
from miner.artifacts.stage_folder import finished_file
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, write_signed
from miner.errors import UsageError
from miner.evaluate.options import EvaluateOptions
from miner.evaluate.run import embedded_test_images
from miner.evaluate.verdict import verdict_lines
from miner.refine.modes.held_out import test_source
from miner.refine.options import RefineOptions


def test_images_of_refined(options: EvaluateOptions, workspace: Workspace) -> Record | None:
    """What needs to be embedded in `test/`; None if a run is evaluated. Raises as `open_refined` and `test_source` do."""
    if not options.refined:
        return embedded_test_images(options, workspace)
    open_refined(workspace, options.device)
    embeddings = EmbeddingsManifest.read(workspace)
    return test_source(embeddings, test=options.test, limit=options.limit, device=options.device)


def open_refined(workspace: Workspace, device: str) -> tuple[RefinedManifest, RefineOptions]:
    """What `miner refine` wrote, and the options that its network was trained with, on the device of the evaluation.

    Raises:
        MinerError: nothing was refined, or other embeddings than there are now.
        UsageError: a run was refined.
    """
    manifest = RefinedManifest.read(workspace, of=EmbeddingsManifest.read(workspace))
    if manifest.request.run is not None:
        raise UsageError(
            f"{workspace.refined.root} refines run {manifest.request.run}, whose banks hold no test images. Only refined "
            "embeddings can be evaluated: miner refine without --run."
        )
    recorded = {name: value for name, value in manifest.asked.items() if name in RefineOptions.model_fields}
    return manifest, RefineOptions.parse({**recorded, "device": device})


def knn_of_refined(options: EvaluateOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify by weighted nearest neighbours -> refined/eval/knn.json; raises as `open_refined` and `mode_features` do."""
    record, fresh, path = _evaluated("knn", options, workspace, force)
    found = {
        f"k={result['k']} T={result['temperature']}": {name: result[name] for name in record["features"]}
        for result in record["results"]
    }
    return _result("eval knn", "kNN", record, found, fresh, path)


def linear_of_refined(options: EvaluateOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify by logistic regression -> refined/eval/linear.json; raises as `open_refined` and `mode_features` do."""
    record, fresh, path = _evaluated("linear", options, workspace, force)
    found = {"fast": {name: record["results"][name]["test"] for name in record["features"]}}
    return _result("eval linear", "linear", record, found, fresh, path)


def _evaluated(name: str, options: EvaluateOptions, workspace: Workspace, force: bool) -> tuple[Record, bool, Path]:
    """The record of an evaluation, whether it was made now, and its file."""
    manifest, network_options = open_refined(workspace, options.device)
    identity = {"refined": manifest.identity, "test_embeddings": EmbeddingsManifest.read(workspace.test).identity}
    path, request = workspace.refined.root / "eval" / f"{name}.json", {"evaluation": name, **identity}
    if (record := finished_file(path, request, force)) is not None:
        return record, False, path
    from miner.refine.comparison.mode_features import measure_modes

    measured = measure_modes(name, workspace, manifest, network_options, identity, force)
    return write_signed(path, {"request": request, **measured}), True, path


def _result(
    name: str, kind: str, record: Record, found: dict[str, dict[str, float]], fresh: bool, path: Path
) -> Result:
    """Accuracies by setting and features, for people: the inductive ones first."""
    shown = {
        setting: ", ".join(f"{features} {percent:.1f} %" for features, percent in accuracies.items())
        for setting, accuracies in found.items()
    }
    sizes = f"(train {record['n_gallery']:,}, test {record['n_test']:,})"
    lines = [f"{name}: refined, {setting}: {accuracies} {sizes}" for setting, accuracies in shown.items()]
    lines += verdict_lines(name, record)
    lines.append(f"{name}: majority class {record['majority']:.1f} %; {record['classes']} classes")
    headline = [(f"{kind} accuracy, refined ({setting})", accuracies) for setting, accuracies in shown.items()]
    return Result(name, record, lines, fresh, headline, path=path)
