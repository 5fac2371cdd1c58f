"""`miner eval knn` and `miner eval linear`: accuracy on frozen features of a run, beside that of its random initial weights."""

from miner.artifacts.stage import finished_file
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, write_signed
from miner.evaluate.options import AUGMENTED_ONLY, KnnOptions, LinearOptions
from miner.evaluate.request import context_lines, make_request


def knn(options: KnnOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify held-out images by weighted nearest neighbours -> runs/NAME/eval/knn.json.

    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """
    request = make_request("knn", options, workspace, ignored={"batch_size"})
    record = finished_file(request.path, request.record, force)
    if fresh := record is None:
        from miner.evaluate.knn import measure_knn

        measured = measure_knn(options, request.run, request.inputs)
        record = write_signed(request.path, {"request": request.record, **measured})
    return Result("eval knn", record, _knn_lines(record), fresh, _knn_headline(record))


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
    return [*lines, *context_lines("eval knn", record)]


def linear(options: LinearOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Train a linear classifier on labelled images, and classify others -> runs/NAME/eval/linear[-augmented].json.

    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """
    fast = options.mode == "fast"
    ignored = {"batch_size", *AUGMENTED_ONLY} if fast else set()
    request = make_request("linear" if fast else "linear-augmented", options, workspace, ignored)
    record = finished_file(request.path, request.record, force)
    if fresh := record is None:
        from miner.evaluate.linear import measure_linear

        measured = measure_linear(options, request.run, request.inputs)
        record = write_signed(request.path, {"request": request.record, **measured})
    return Result("eval linear", record, _linear_lines(record), fresh, _linear_headline(record))


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
            f"{record['n_validation']:,} training images held out"
        )
    return [*lines, *context_lines("eval linear", record)]
