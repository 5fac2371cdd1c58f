"""Weighted nearest neighbours on the features of a run."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.evaluate.embedded import EncodeImages, add_compared, embedded_rows
from miner.evaluate.options import KnnOptions
from miner.evaluate.setup import open_setup
from miner.evaluate.verdict import verdict_of
from miner.learning.nearest import PROTOCOLS, accuracy_percent, votes_by_protocol


def measure_knn(
    options: KnnOptions,
    run: Path,
    inputs: Inputs | None,
    like: SourceRecord | None = None,
    workspace: Workspace | None = None,
    encode: EncodeImages | None = None,
) -> Record:
    """Top-1 accuracy in percent of the trained and of the starting weights, under both protocols; arguments as of `open_setup`.

    Args:
        workspace: whose encoder is judged beside them; None for none.
        encode: as of `embedded_rows`.
    """
    setup = open_setup(options, run, inputs, like, options.layer)
    gallery, test = setup.pixels(options.workers)
    features, without = {}, []
    for name in setup.backbones:
        known, queries = (
            F.normalize(setup.pooled(name, pixels, options.batch_size), dim=1) for pixels in (gallery, test)
        )
        features[name] = known, queries
    if workspace is not None:
        own = options.gallery is None
        make = partial(embedded_rows, workspace, setup.split, setup.device, own=own, encode=encode)
        without = add_compared("encoder", make, features)
    named = {
        name: votes_by_protocol(queries, known, setup.labels, setup.class_count)
        for name, (known, queries) in features.items()
    }
    record = {**setup.describe(run, options), **knn_record(named, setup.truth, len(gallery), without=without)}
    return {**record, "per_class": accuracy_by_class(named["trained"][0], setup.truth, setup.split.classes)}


def accuracy_by_class(predicted: Tensor, truth: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Accuracy in percent on the images of each class that has some, by its name; int64 (m,) both."""
    shares = {name: truth == number for number, name in enumerate(classes)}
    return {name: accuracy_percent(predicted[of], truth[of]) for name, of in shares.items() if bool(of.any())}


def knn_record(
    named: Mapping[str, list[Tensor]],
    truth: Tensor,
    gallery: int,
    others: Mapping[str, Tensor] | None = None,
    without: Sequence[str] = (),
) -> Record:
    """The part of a record that holds accuracies in percent, and the verdict on the first features.

    Args:
        named: by name of the features, the classes under each of `PROTOCOLS`.
        truth: the true classes, int64 (m,).
        gallery: the number of images that vote.
        others: as of `verdict_of`.
        without: why there are no features of some kind.
    """
    results, verdicts = [], []
    for number, (k, temperature) in enumerate(PROTOCOLS):
        right = {name: classes[number] == truth for name, classes in named.items()}
        accuracies = {name: accuracy_percent(classes[number], truth) for name, classes in named.items()}
        results.append({"k": min(k, gallery), "k_asked": k, "temperature": temperature, **accuracies})
        verdicts.append(verdict_of(right, others, f"k = {min(k, gallery)}"))
    return {"norm": "l2", "vote": "exp(cosine / temperature)", "results": results, "verdict": [*verdicts, *without]}
