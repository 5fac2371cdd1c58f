"""A linear classifier on the features of a run, by one of two protocols."""

from pathlib import Path

from miner.artifacts.runs.inputs import Inputs
from miner.engine import Record
from miner.evaluate.linear_lbfgs import measure_lbfgs
from miner.evaluate.linear_sgd import measure_sgd
from miner.evaluate.options import LinearOptions
from miner.evaluate.setup import open_setup
from miner.evaluate.validation import RULE, validation_mask


def measure_linear(options: LinearOptions, run: Path, inputs: Inputs | None) -> Record:
    """Top-1 accuracy in percent of a linear classifier on the trained and on the starting weights.

    Args:
        options: of the evaluation.
        run: folder of a finished run.
        inputs: the workspace's own images; needed without `options.gallery`.
    """
    setup = open_setup(options, run, inputs)
    validation = validation_mask(setup.split.gallery, options.validation_fraction).to(setup.device)
    measured = (measure_lbfgs if options.mode == "fast" else measure_sgd)(options, setup, validation)
    return {
        **setup.describe(run, options.best),
        "n_validation": int(validation.sum()),
        "chosen_by": RULE,
        **measured,
    }
