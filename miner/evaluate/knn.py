"""`miner eval knn`: what the frozen features of a run are worth, beside those of its random start."""

from pathlib import Path
from typing import Any

from miner.errors import MinerError
from miner.evaluate.options import KnnOptions
from miner.train.inputs import Inputs, find_inputs
from miner.workspace import Record, Result, Workspace, fingerprint, read_json, write_signed

_NOT_IN_REQUEST = {"run", "device", "workers", "batch_size"}


def knn(options: KnnOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify held-out images by weighted nearest neighbours -> runs/NAME/eval/knn.json.

    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """
    run = find_run(workspace, options.run)
    inputs = None if options.gallery else find_inputs(workspace, with_pairs=False)
    request = _request(options, workspace.manifest(run), inputs)
    path = run / "eval" / "knn.json"
    old = read_json(path)
    if old is not None and not force:
        if old.get("request") == request:
            return Result("eval knn", old, _lines(old), fresh=False, headline=_headline(old))
        raise MinerError(
            f"{path} is the result of another request (other options, images or weights). Use --force to replace it."
        )
    from miner.evaluate.measure import measure

    record = write_signed(path, {"request": request, **measure(options, run, inputs)})
    return Result("eval knn", record, _lines(record), headline=_headline(record))


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


def _request(options: KnnOptions, run_manifest: Record, inputs: Inputs | None) -> Record:
    from miner.evaluate.data import source_identity

    asked = {name: value for name, value in options.plain().items() if name not in _NOT_IN_REQUEST}
    named = {name: source_identity(asked[name]) for name in ("gallery", "test") if asked[name] is not None}
    images: Any = inputs.fingerprint if inputs is not None else None
    return {**asked, "weights": fingerprint(run_manifest["files"]), "sources": named, "workspace_images": images}


def _headline(record: Record) -> list[tuple[str, str]]:
    return [
        (
            f"kNN accuracy (k = {result['k']}, T = {result['temperature']})",
            f"trained {result['trained']:.1f} %, random {result['random']:.1f} %",
        )
        for result in record["results"]
    ]


def _lines(record: Record) -> list[str]:
    sizes = f"(gallery {record['n_gallery']:,}, test {record['n_test']:,})"
    lines = [
        f"eval knn: k={result['k']} T={result['temperature']}: trained {result['trained']:.1f} %, "
        f"random {result['random']:.1f} % {sizes}"
        for result in record["results"]
    ]
    lines.append(
        f"eval knn: majority class {record['majority']:.1f} %; run {record['run']}, {record['classes']} classes"
    )
    if record["queries_seen_unlabelled"]:
        lines.append("eval knn: the test images were held out by key and were among the unlabelled training images")
    return lines
