"""Weighted nearest neighbours on the features of a run."""

from pathlib import Path

from torch.nn import functional as F

from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.runs.inputs import Inputs
from miner.engine import Record
from miner.evaluate.options import KnnOptions
from miner.evaluate.setup import open_setup
from miner.learning.nearest import PROTOCOLS, accuracies_by_protocol


def measure_knn(options: KnnOptions, run: Path, inputs: Inputs | None, like: SourceRecord | None = None) -> Record:
    """Top-1 accuracy in percent of the trained and of the starting weights, under both protocols; arguments as of `open_setup`."""
    setup = open_setup(options, run, inputs, like, options.layer)
    gallery, test = setup.pixels(options.workers)
    top1 = {}
    for name in setup.backbones:
        known, queries = (
            F.normalize(setup.pooled(name, pixels, options.batch_size), dim=1) for pixels in (gallery, test)
        )
        top1[name] = accuracies_by_protocol(queries, known, setup.labels, setup.truth, setup.class_count)
    return {**setup.describe(run, options), **knn_record(top1, len(gallery))}


def knn_record(top1: dict[str, list[float]], gallery: int) -> Record:
    """The part of a record that holds accuracies: by name of the features, under each of `PROTOCOLS`; `gallery` images vote."""
    return {
        "norm": "l2",
        "vote": "exp(cosine / temperature)",
        "results": [
            {
                "k": min(k, gallery),
                "k_asked": k,
                "temperature": temperature,
                **{name: accuracies[number] for name, accuracies in top1.items()},
            }
            for number, (k, temperature) in enumerate(PROTOCOLS)
        ],
    }
