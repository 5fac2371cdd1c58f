"""The request of an evaluation: its run, what decides the result, and the file of the result."""

from dataclasses import dataclass
from pathlib import Path

from miner.artifacts.runs.inputs import Inputs, find_inputs
from miner.artifacts.runs.labelled import source_identity
from miner.artifacts.runs.manifest import RunManifest
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.errors import MinerError
from miner.evaluate.options import EvaluateOptions


@dataclass(frozen=True)
class EvaluationRequest:
    """One evaluation of one run, before any work.

    Attributes:
        run: folder of a finished run.
        inputs: the workspace's own images; None where a gallery is named.
        record: everything that decides the result.
        path: of the result, in the run's folder.
    """

    run: Path
    inputs: Inputs | None
    record: Record
    path: Path


def make_request(name: str, options: EvaluateOptions, workspace: Workspace, ignored: set[str]) -> EvaluationRequest:
    """Find the run and its images.

    Args:
        name: of the result.
        options: of the evaluation.
        workspace: that holds the run.
        ignored: options that do not change the result of this evaluation.
    Raises:
        MinerError: there is no finished run, or there are no images.
    """
    run = find_run(workspace, options.run)
    inputs = None if options.gallery else find_inputs(workspace, with_pairs=False)
    asked = {name: value for name, value in options.request().items() if name not in ignored}
    record = {
        **asked,
        "weights": RunManifest.read(run).identity,
        "sources": {side: source_identity(asked[side]) for side in ("gallery", "test") if asked[side] is not None},
        "workspace_images": inputs.fingerprint if inputs is not None else None,
    }
    return EvaluationRequest(run, inputs, record, run / "eval" / f"{name}{'-best' if options.best else ''}.json")


def find_run(workspace: Workspace, name: str | None) -> Path:
    """The folder of a finished run: the one of that name, or the latest.

    Raises:
        MinerError: there is none.
    """
    finished = [folder for folder in workspace.runs() if (folder / "manifest.json").exists()]
    if name is None:
        if not finished:
            raise MinerError(f"There is no finished run in {workspace.root}. Run `miner train` first.")
        return max(finished, key=lambda folder: (folder / "manifest.json").stat().st_mtime_ns)
    for folder in finished:
        if folder.name == name:
            return folder
    known = ", ".join(folder.name for folder in finished) or "none"
    raise MinerError(
        f"There is no finished run {name!r} in {workspace.root} (finished: {known}). Run `miner train` first."
    )


def context_lines(name: str, record: Record) -> list[str]:
    """Lines for people that qualify an accuracy."""
    lines = [f"{name}: majority class {record['majority']:.1f} %; run {record['run']}, {record['classes']} classes"]
    if record["weights"] == "best":
        lines.append(f"{name}: these are the weights with the best online kNN, an optimistic choice")
    if record["queries_seen_unlabelled"]:
        lines.append(f"{name}: the test images were held out by key and were among the unlabelled training images")
    return lines
