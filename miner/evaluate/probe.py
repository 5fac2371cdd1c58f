"""The measurement behind `miner eval linear`."""

from pathlib import Path

from miner.artifacts.runs.inputs import Inputs
from miner.engine.records import Record
from miner.evaluate.linear_lbfgs import measure_fast
from miner.evaluate.linear_sgd import measure_augmented
from miner.evaluate.options import LinearOptions
from miner.evaluate.selection import RULE, validation_mask
from miner.evaluate.setup import describe, open_subject


def measure_linear(options: LinearOptions, run: Path, inputs: Inputs | None) -> Record:
    """Top-1 accuracy in percent of a linear classifier on the trained and on the starting weights.

    Args:
        options: as asked.
        run: folder of a finished run.
        inputs: the workspace's own images; needed without `options.gallery`.
    """
    subject = open_subject(options, run, inputs)
    validation = validation_mask(subject.split.gallery, options.validation_fraction).to(subject.device)
    measured = (measure_fast if options.mode == "fast" else measure_augmented)(options, subject, validation)
    return {
        **describe(subject, run, options.best),
        "n_validation": int(validation.sum()),
        "chosen_by": RULE,
        **measured,
    }
