"""`miner eval linear`: a linear classifier on the frozen features of a run, beside one on those of its random start."""

from miner.artifacts.stage import finished_file
from miner.artifacts.workspace import Workspace
from miner.engine.records import Record, write_signed
from miner.engine.result import Result
from miner.evaluate.options import AUGMENTED_ONLY, LinearOptions
from miner.evaluate.request import context_lines, question
from miner.refine.comparison.evaluate_refined import linear_of_refined

_STAGE = "eval linear"


def linear(options: LinearOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Train a linear classifier on labelled images, and classify others -> runs/NAME/eval/linear[-augmented].json, or
    refined/eval/linear.json.

    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """
    if options.refined:
        return linear_of_refined(options, workspace, force=force)
    fast = options.mode == "fast"
    unasked = {"batch_size", *AUGMENTED_ONLY} if fast else set()
    asked = question("linear" if fast else "linear-augmented", options, workspace, unasked)
    record = finished_file(asked.path, asked.request, force)
    if fresh := record is None:
        from miner.evaluate.probe import measure_linear

        measured = measure_linear(options, asked.run, asked.inputs)
        record = write_signed(asked.path, {"request": asked.request, **measured})
    return Result(_STAGE, record, _lines(record), fresh, _headline(record))


def _headline(record: Record) -> list[tuple[str, str]]:
    trained, random = (record["results"][name]["test"] for name in ("trained", "random"))
    return [(f"linear accuracy ({record['protocol']})", f"trained {trained:.1f} %, random {random:.1f} %")]


def _lines(record: Record) -> list[str]:
    (_, headline), setting = _headline(record)[0], record["setting"]
    sizes = f"(train {record['n_gallery']:,}, test {record['n_test']:,})"
    lines = [f"{_STAGE}: {record['protocol']}: {headline} {sizes}"]
    for name, result in record["results"].items():
        tried = [candidate[setting] for candidate in result["candidates"]]
        edge = ", an end of the range tried" if result["chosen"] in (min(tried), max(tried)) else ""
        lines.append(
            f"{_STAGE}: {name}: {setting} {result['chosen']:g} of {len(tried)}{edge}, by {result['validation']:.1f} % on "
            f"{record['n_validation']:,} training images held out"
        )
    return [*lines, *context_lines(_STAGE, record)]
