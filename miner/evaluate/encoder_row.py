"""The encoder's own row: an evaluation of the embeddings themselves, without a run."""

import torch

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.labelled import split_labelled
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.errors import MinerError
from miner.evaluate.embedded import embedded_rows
from miner.evaluate.knn import knn_record
from miner.evaluate.linear import FAST, RULE, choice, fit_and_name, validation_mask
from miner.evaluate.options import EvaluateOptions, LinearOptions
from miner.evaluate.verdict import verdict_of
from miner.learning.nearest import accuracy_percent, votes_by_protocol
from miner.machine.device import resolve_device


def measure_embeddings(options: EvaluateOptions, workspace: Workspace, inputs: Inputs) -> Record:
    """Accuracy in percent of the embeddings themselves, beside that of always naming the most frequent class.

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
    if (rows := embedded_rows(workspace, split, device)) is None:
        raise MinerError(
            f"Not every labelled image of {split.gallery.name} and {split.test.name} has a vector. Embed again."
        )
    labels, truth = (side.labels().to(device) for side in (split.gallery, split.test))
    chance = torch.bincount(labels).argmax().expand_as(truth)
    described = {name: value for name, value in split.describe(1).items() if name not in ("layer", "mode", "resize")}
    record = {"encoder": embeddings.encoder.name, **described, "majority": accuracy_percent(chance, truth)}
    others = {"the most frequent class": chance == truth}
    if not isinstance(options, LinearOptions):
        named = {"embeddings": votes_by_protocol(rows[1], rows[0], labels, len(split.classes))}
        return {**record, **knn_record(named, truth, len(labels), others)}
    validation = validation_mask(split.gallery, options.validation_fraction).to(device)
    candidates, predicted = fit_and_name(rows[0], labels, validation, rows[1], len(split.classes), "embeddings")
    return {
        **record,
        "n_validation": int(validation.sum()),
        "chosen_by": RULE,
        **FAST,
        "results": {"embeddings": choice("l2", candidates, accuracy_percent(predicted, truth))},
        "verdict": verdict_of({"embeddings": predicted == truth}, others),
    }
