"""A linear classifier on the features of a run, by one of two protocols. Test images choose nothing."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.labelled import LabelledImages, is_held_out
from miner.artifacts.workspace import Workspace
from miner.engine import Progress, Record
from miner.errors import MinerError
from miner.evaluate.embedded import EncodeImages, add_compared, embedded_rows
from miner.evaluate.linear_sgd import measure_sgd
from miner.evaluate.options import LinearOptions
from miner.evaluate.setup import EvaluationSetup, open_setup
from miner.evaluate.verdict import verdict_of
from miner.learning.logistic import PENALTIES, Candidate, best_candidate, classify, try_penalties
from miner.learning.nearest import accuracy_percent
from miner.text import counted

FAST: Record = {
    "protocol": "fast",
    "classifier": "logistic regression by L-BFGS on features without augmentation: mean cross-entropy + l2 / 2 |W|^2; fitted "
    "again on all training images with the chosen l2",
    "norm": "each dimension to mean 0 and deviation 1 on the images that are fitted",
    "setting": "l2",
}
RULE = "training images held out by sha256 of 'validation KEY'; the highest accuracy on them, the first of equal ones"


def measure_linear(
    options: LinearOptions,
    run: Path,
    inputs: Inputs | None,
    like: SourceRecord | None = None,
    workspace: Workspace | None = None,
    encode: EncodeImages | None = None,
) -> Record:
    """Top-1 accuracy in percent of a linear classifier on the trained and on the starting weights; arguments as of `measure_knn`.

    The embeddings are judged by the fast protocol alone, since they hold no features of crops.
    """
    setup = open_setup(options, run, inputs, like)
    validation = validation_mask(setup.split.gallery, options.validation_fraction).to(setup.device)
    protocol, found = (measure_lbfgs if options.mode == "fast" else measure_sgd)(options, setup, validation)
    rows: dict[str, tuple[Tensor, Tensor]] = {}
    without: list[str] = []
    if workspace is not None and options.mode == "fast":
        own = options.gallery is None
        make = partial(embedded_rows, workspace, setup.split, setup.device, own=own, encode=encode)
        without = add_compared("encoder", make, rows)
    for name, (known, queries) in rows.items():
        found[name] = fit_and_name(known, setup.labels, validation, queries, setup.class_count, name)
    setting = str(protocol["setting"])
    return {
        **setup.describe(run, options),
        "n_validation": int(validation.sum()),
        "chosen_by": RULE,
        **protocol,
        "results": {
            name: choice(setting, candidates, accuracy_percent(named, setup.truth))
            for name, (candidates, named) in found.items()
        },
        "verdict": "; ".join(
            [verdict_of({name: named == setup.truth for name, (_, named) in found.items()}), *without]
        ),
    }


def validation_mask(images: LabelledImages, fraction: float) -> Tensor:
    """The training images on which a setting is chosen: bool (n,), by key alone, independent of the choice of test images.

    Raises:
        MinerError: too few are left on one side.
    """
    mask = torch.tensor([is_held_out(f"validation {entry.key}", fraction) for entry in images.entries])
    rest = {entry.label for entry, held_out in zip(images.entries, mask.tolist(), strict=True) if not held_out}
    if not mask.any() or len(rest) < 2:
        raise MinerError(
            f"{counted(len(mask), 'training image is', 'training images are')} too few to hold some out, on which "
            "the classifier's setting is chosen "
            f"({int(mask.sum()):,} were; {counted(len(rest), 'class is', 'classes are')} left). Change "
            "--validation-fraction or --limit, or name a "
            "larger --gallery."
        )
    return mask


def measure_lbfgs(
    options: LinearOptions, setup: EvaluationSetup, validation: Tensor
) -> tuple[Record, dict[str, tuple[list[Candidate], Tensor]]]:
    """The fast protocol, logistic regression on features that are computed once; see `measure_sgd`."""
    images = setup.pixels(options.workers)
    found = {}
    for name in setup.backbones:
        train, test = (setup.pooled(name, pixels, options.batch_size) for pixels in images)
        found[name] = fit_and_name(train, setup.labels, validation, test, setup.class_count, name)
    return FAST, found


def fit_and_name(
    train: Tensor, labels: Tensor, validation: Tensor, test: Tensor, class_count: int, title: str
) -> tuple[list[Candidate], Tensor]:
    """The penalties that were tried, and the class of each of `test` by the best of them, int64 (m,).

    Args:
        train, test: float32 (n, d) and (m, d).
        validation: bool (n,), the rows that choose.
    """
    with Progress(f"fit, {title}", total=len(PENALTIES) + 1, item="fits") as progress:
        candidates = try_penalties(train, labels, validation, class_count, progress)
        return candidates, classify(train, labels, test, class_count, best_candidate(candidates).value)


def choice(setting: str, candidates: list[Candidate], test: float) -> Record:
    """What was tried, what was chosen, and its accuracy in percent on the test images."""
    chosen = best_candidate(candidates)
    return {
        "candidates": [{setting: candidate.value, "validation": candidate.validation} for candidate in candidates],
        "chosen": chosen.value,
        "validation": chosen.validation,
        "test": test,
    }
