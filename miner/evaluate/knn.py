"""`miner eval knn`: what the frozen features of a run are worth, beside those of its random start."""

from miner.artifacts.stage import finished_file
from miner.artifacts.workspace import Workspace
from miner.engine.records import Record, write_signed
from miner.engine.result import Result
from miner.evaluate.options import KnnOptions
from miner.evaluate.request import context_lines, question
from miner.refine.comparison.evaluate_refined import knn_of_refined


def knn(options: KnnOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify held-out images by weighted nearest neighbours -> runs/NAME/eval/knn.json, or refined/eval/knn.json.

    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """
    if options.refined:
        return knn_of_refined(options, workspace, force=force)
    asked = question("knn", options, workspace, unasked={"batch_size"})
    record = finished_file(asked.path, asked.request, force)
    if fresh := record is None:
        from miner.evaluate.measure import measure

        record = write_signed(asked.path, {"request": asked.request, **measure(options, asked.run, asked.inputs)})
    return Result("eval knn", record, _lines(record), fresh, _headline(record))


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
    return [*lines, *context_lines("eval knn", record)]
