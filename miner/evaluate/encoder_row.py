"""The encoder's own row: an evaluation of the embeddings themselves, without a run."""

from functools import partial

import torch

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.labelled import split_labelled
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.errors import MinerError
from miner.evaluate.embedded import EncodeImages, NotComparedError, add_compared, embedded_rows, random_rows
from miner.evaluate.knn import knn_record
from miner.evaluate.linear import FAST, RULE, choice, fit_and_name, validation_mask
from miner.evaluate.options import EvaluateOptions, LinearOptions
from miner.evaluate.verdict import verdict_of
from miner.learning.nearest import accuracy_percent, votes_by_protocol
from miner.machine.device import resolve_device


def measure_embeddings(
    options: EvaluateOptions, workspace: Workspace, inputs: Inputs, encode: EncodeImages | None
) -> Record:
    """Accuracy in percent of the embeddings themselves, beside random weights and always naming the most frequent class.

    Args:
        encode: encodes the same images by random weights; None for no such comparison.

    Raises:
        MinerError: there are no labels, or a test image has no vector.
    """
    embeddings = EmbeddingsManifest.read(workspace)
    split = split_labelled(
        inputs,
        "",
        test=options.test,
        test_fraction=options.test_fraction,
        limit=options.limit,
        like=embeddings.source,
    )
    device = resolve_device(options.device)
    try:
        features = {"embeddings": embedded_rows(workspace, split, device)}
    except NotComparedError as error:
        raise MinerError(
            f"Not every labelled image of {split.gallery.name} and {split.test.name} has a vector. Embed again."
        ) from error
    without = add_compared("random", partial(random_rows, split, device, encode), features) if encode else []
    labels, truth = (side.labels().to(device) for side in (split.gallery, split.test))
    chance = torch.bincount(labels).argmax().expand_as(truth)
    described = {name: value for name, value in split.describe(1).items() if name not in ("layer", "mode", "resize")}
    record = {"encoder": embeddings.encoder.name, **described, "majority": accuracy_percent(chance, truth)}
    others = {"the most frequent class": chance == truth}
    if not isinstance(options, LinearOptions):
        votes = {
            name: votes_by_protocol(queries, known, labels, len(split.classes))
            for name, (known, queries) in features.items()
        }
        return {**record, **knn_record(votes, truth, len(labels), others, without)}
    validation = validation_mask(split.gallery, options.validation_fraction).to(device)
    found = {
        name: fit_and_name(known, labels, validation, queries, len(split.classes), name)
        for name, (known, queries) in features.items()
    }
    return {
        **record,
        "n_validation": int(validation.sum()),
        "chosen_by": RULE,
        **FAST,
        "results": {
            name: choice("l2", candidates, accuracy_percent(named, truth))
            for name, (candidates, named) in found.items()
        },
        "verdict": "; ".join(
            [verdict_of({name: named == truth for name, (_, named) in found.items()}, others), *without]
        ),
    }
