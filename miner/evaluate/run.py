"""`miner eval knn` and `miner eval linear`: accuracy on frozen features of a run, beside that of its random initial weights."""

from collections.abc import Callable
from pathlib import Path

from miner.artifacts.embeddings.manifest import EmbeddingsManifest, SourceRecord
from miner.artifacts.runs.inputs import Inputs, find_inputs
from miner.artifacts.runs.labelled import source_identity
from miner.artifacts.runs.manifest import RunManifest
from miner.artifacts.stage_folder import finished_file
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, write_signed
from miner.errors import MinerError
from miner.evaluate.options import AUGMENTED_ONLY, EvaluateOptions, KnnOptions, LinearOptions
from miner.text import counted


def knn(options: KnnOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify held-out images by weighted nearest neighbours -> runs/NAME/eval/knn[-projector].json.

    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """

    def measure(run: Path, inputs: Inputs | None, like: SourceRecord | None) -> Record:
        from miner.evaluate.knn import measure_knn

        return measure_knn(options, run, inputs, like)

    name = "knn" if options.layer == "backbone" else "knn-projector"
    record, fresh, path = _evaluated(name, options, workspace, force, {"batch_size"}, measure)
    return Result("eval knn", record, _knn_lines(record), fresh, _knn_headline(record), path=path)


def _knn_headline(record: Record) -> list[tuple[str, str]]:
    return [
        (
            f"kNN accuracy (k = {result['k']}, T = {result['temperature']})",
            f"trained {result['trained']:.1f} %, random {result['random']:.1f} %",
        )
        for result in record["results"]
    ]


def _knn_lines(record: Record) -> list[str]:
    sizes = f"(gallery {record['n_gallery']:,}, test {record['n_test']:,})"
    lines = [
        f"eval knn: k={result['k']} T={result['temperature']}: trained {result['trained']:.1f} %, "
        f"random {result['random']:.1f} % {sizes}"
        for result in record["results"]
    ]
    return [*lines, *_context_lines("eval knn", record)]


def linear(options: LinearOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Train a linear classifier on labelled images, and classify others -> runs/NAME/eval/linear[-augmented].json.

    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """

    def measure(run: Path, inputs: Inputs | None, like: SourceRecord | None) -> Record:
        from miner.evaluate.linear import measure_linear

        return measure_linear(options, run, inputs, like)

    name, ignored = (
        ("linear", {"batch_size", *AUGMENTED_ONLY}) if options.mode == "fast" else ("linear-augmented", set())
    )
    record, fresh, path = _evaluated(name, options, workspace, force, ignored, measure)
    return Result("eval linear", record, _linear_lines(record), fresh, _linear_headline(record), path=path)


def _linear_headline(record: Record) -> list[tuple[str, str]]:
    trained, random = (record["results"][name]["test"] for name in ("trained", "random"))
    return [(f"linear accuracy ({record['protocol']})", f"trained {trained:.1f} %, random {random:.1f} %")]


def _linear_lines(record: Record) -> list[str]:
    (_, headline), setting = _linear_headline(record)[0], record["setting"]
    sizes = f"(train {record['n_gallery']:,}, test {record['n_test']:,})"
    lines = [f"eval linear: {record['protocol']}: {headline} {sizes}"]
    for name, result in record["results"].items():
        tried = [candidate[setting] for candidate in result["candidates"]]
        edge = ", an end of the range tried" if result["chosen"] in (min(tried), max(tried)) else ""
        lines.append(
            f"eval linear: {name}: {setting} {result['chosen']:g} of {len(tried)}{edge}, by {result['validation']:.1f} % on "
            f"{counted(record['n_validation'], 'training image')} held out"
        )
    return [*lines, *_context_lines("eval linear", record)]


def _evaluated(
    name: str,
    options: EvaluateOptions,
    workspace: Workspace,
    force: bool,
    ignored: set[str],
    measure: Callable[[Path, Inputs | None, SourceRecord | None], Record],
) -> tuple[Record, bool, Path]:
    """The record of an evaluation of a run, whether it was made now, and its file. The options in `ignored` do not change it."""
    run = find_run(workspace, options.run)
    inputs = None if options.gallery else find_inputs(workspace, with_pairs=False)
    asked = {option: value for option, value in options.request().items() if option not in ignored}
    embeddings = EmbeddingsManifest.find(workspace)
    like = embeddings.source if embeddings is not None else None
    request = {
        **asked,
        "weights": RunManifest.read(run).identity,
        "sources": {
            side: source_identity(asked[side], like) for side in ("gallery", "test") if asked[side] is not None
        },
        "workspace_images": inputs.fingerprint if inputs is not None else None,
    }
    path = run / "eval" / f"{name}{'' if options.weights == 'last' else f'-{options.weights}'}.json"
    if (record := finished_file(path, request, force)) is not None:
        return record, False, path
    return write_signed(path, {"request": request, **measure(run, inputs, like)}), True, path


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


def _context_lines(name: str, record: Record) -> list[str]:
    """Lines for people that qualify an accuracy."""
    lines = [f"{name}: majority class {record['majority']:.1f} %; run {record['run']}, {record['classes']} classes"]
    if record["weights"] == "best":
        lines.append(f"{name}: these are the weights with the best online kNN, an optimistic choice")
    if record["weights"] == "teacher":
        lines.append(f"{name}: these are the weights of the teacher")
    if record["queries_seen_unlabelled"]:
        lines.append(f"{name}: the test images were held out by key and were among the unlabelled training images")
    return lines
