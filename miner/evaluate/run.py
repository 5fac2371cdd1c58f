"""`miner eval knn` and `miner eval linear`: accuracy on frozen features of a run, beside that of its random initial weights."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.embeddings.manifest import EmbeddingsManifest, SourceRecord
from miner.artifacts.runs.inputs import Inputs, find_inputs
from miner.artifacts.runs.labelled import source_identity
from miner.artifacts.runs.manifest import RunManifest
from miner.artifacts.stage_folder import finished_file
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, write_signed
from miner.errors import MinerError
from miner.evaluate.options import AUGMENTED_ONLY, EvaluateOptions, KnnOptions, LinearOptions
from miner.evaluate.verdict import verdict_lines
from miner.source.named.builtin import HELD_OUT
from miner.text import counted

if TYPE_CHECKING:
    from miner.evaluate.embedded import EncodeImages


def knn(
    options: KnnOptions, workspace: Workspace, *, force: bool = False, encode: "EncodeImages | None" = None
) -> Result:
    """Classify held-out images by weighted nearest neighbours -> runs/NAME/eval/knn[-projector].json.

    Args:
        encode: encodes images as those of the workspace; without it, only stored vectors are compared with.
    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """

    def measure(run: Path, inputs: Inputs | None, like: SourceRecord | None) -> Record:
        from miner.evaluate.knn import measure_knn

        return measure_knn(options, run, inputs, like, workspace if like else None, encode)

    if judges_embeddings(options, workspace):
        return _embeddings_judged("knn", options, workspace, force, encode)
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
        f"random {result['random']:.1f} %{_of_encoder(result.get('encoder'))} {sizes}"
        for result in record["results"]
    ]
    return [*lines, *verdict_lines("eval knn", record), *_context_lines("eval knn", record)]


def _of_encoder(accuracy: float | None) -> str:
    return "" if accuracy is None else f", encoder {accuracy:.1f} %"


def linear(
    options: LinearOptions, workspace: Workspace, *, force: bool = False, encode: "EncodeImages | None" = None
) -> Result:
    """Train a linear classifier on labelled images, and classify others -> runs/NAME/eval/linear[-augmented].json.

    Args:
        encode: as of `knn`.
    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """

    def measure(run: Path, inputs: Inputs | None, like: SourceRecord | None) -> Record:
        from miner.evaluate.linear import measure_linear

        return measure_linear(options, run, inputs, like, workspace if like else None, encode)

    if judges_embeddings(options, workspace):
        return _embeddings_judged("linear", options, workspace, force, encode)
    name, ignored = (
        ("linear", {"batch_size", *AUGMENTED_ONLY}) if options.mode == "fast" else ("linear-augmented", set())
    )
    record, fresh, path = _evaluated(name, options, workspace, force, ignored, measure)
    return Result("eval linear", record, _linear_lines(record), fresh, _linear_headline(record), path=path)


def _linear_headline(record: Record) -> list[tuple[str, str]]:
    trained, random = (record["results"][name]["test"] for name in ("trained", "random"))
    encoder = _of_encoder(record["results"].get("encoder", {}).get("test"))
    return [(f"linear accuracy ({record['protocol']})", f"trained {trained:.1f} %, random {random:.1f} %{encoder}")]


def _linear_lines(record: Record) -> list[str]:
    (_, headline), setting = _linear_headline(record)[0], record["setting"]
    sizes = f"(train {record['n_gallery']:,}, test {record['n_test']:,})"
    lines = [f"eval linear: {record['protocol']}: {headline} {sizes}", *verdict_lines("eval linear", record)]
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


def judges_embeddings(options: EvaluateOptions, workspace: Workspace) -> bool:
    """Whether the embeddings are judged: as asked, or because no run has finished."""
    if options.embeddings:
        return True
    finished = workspace.latest_run()
    return not (options.of_a_run or options.refined or finished) and EmbeddingsManifest.find(workspace) is not None


def embedded_test_images(options: EvaluateOptions, workspace: Workspace) -> Record | None:
    """The options of `miner embed` for the test images of the embeddings.

    Returns:
        None if the embedded images hold the test images, or a run is judged.
    """
    if not judges_embeddings(options, workspace):
        return None
    source = options.test or HELD_OUT.get(str(EmbeddingsManifest.read(workspace).asked.get("source")))
    return None if source is None else {"source": source, "limit": None, "device": options.device}


def _embeddings_judged(
    name: str, options: EvaluateOptions, workspace: Workspace, force: bool, encode: "EncodeImages | None"
) -> Result:
    """The encoder's own row -> eval/knn.json or eval/linear.json of the workspace."""
    inputs = find_inputs(workspace, with_pairs=False)
    has_test, asked = embedded_test_images(options, workspace) is not None, options.request()
    request = {
        **{
            option: value for option, value in asked.items() if option not in {"batch_size", "gallery", *AUGMENTED_ONLY}
        },
        "embeddings": EmbeddingsManifest.read(workspace).identity,
        "test_embeddings": EmbeddingsManifest.read(workspace.test).identity if has_test else None,
        "workspace_images": inputs.fingerprint,
    }
    path = workspace.root / "eval" / f"{name}.json"
    if fresh := (record := finished_file(path, request, force)) is None:
        from miner.evaluate.encoder_row import measure_embeddings

        record = write_signed(path, {"request": request, **measure_embeddings(options, workspace, inputs, encode)})
    assert record is not None
    sizes = f"(gallery {record['n_gallery']:,}, test {record['n_test']:,})"
    found = (
        {
            f"k={result['k']} T={result['temperature']}": _own_row(result["embeddings"], result.get("random"))
            for result in record["results"]
        }
        if name == "knn"
        else {"fast": _own_row(*(record["results"].get(row, {}).get("test") for row in ("embeddings", "random")))}
    )
    command = f"eval {name}"
    lines = [
        *(f"{command}: {setting}: {accuracy} {sizes}" for setting, accuracy in found.items()),
        *verdict_lines(command, record),
        f"{command}: majority class {record['majority']:.1f} %; encoder {record['encoder']}, {record['classes']} classes",
    ]
    headline = [(f"{command} of the embeddings ({setting})", accuracy) for setting, accuracy in found.items()]
    return Result(command, record, lines, fresh, headline, path=path)


def _own_row(embeddings: float, random: float | None) -> str:
    return f"embeddings {embeddings:.1f} %" + ("" if random is None else f", random {random:.1f} %")


def find_run(workspace: Workspace, name: str | None) -> Path:
    """The folder of a finished run: the one of that name, or the latest.

    Raises:
        MinerError: there is none.
    """
    if name is None:
        if (latest := workspace.latest_run()) is None:
            raise MinerError(f"There is no finished run in {workspace.root}. Run `miner train` first.")
        return latest
    finished = [folder for folder in workspace.runs() if (folder / "manifest.json").exists()]
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
