"""The fast linear protocol: logistic regression on features that are computed once."""

from torch import Tensor

from miner.engine import Progress, Record
from miner.evaluate.options import LinearOptions
from miner.evaluate.setup import EvaluationSetup
from miner.evaluate.validation import choice_record
from miner.learning.knn import accuracy_percent
from miner.learning.logistic import classify
from miner.learning.selection import PENALTIES, best_candidate, try_penalties


def measure_lbfgs(options: LinearOptions, setup: EvaluationSetup, validation: Tensor) -> Record:
    """Fit and test both backbones.

    Args:
        options: of the evaluation.
        setup: the run and its labelled images.
        validation: bool (n_gallery,), the images that the penalty is chosen on.
    """
    images = setup.pixels(options.workers)
    results = {}
    for name in setup.backbones:
        train, test = (setup.pooled(name, pixels, options.batch_size) for pixels in images)
        with Progress(f"fit, {name}", total=len(PENALTIES) + 1, item="fits") as progress:
            candidates = try_penalties(train, setup.labels, validation, setup.class_count, progress)
            predicted = classify(train, setup.labels, test, setup.class_count, best_candidate(candidates).value)
        results[name] = choice_record("l2", candidates, accuracy_percent(predicted, setup.truth))
    return {
        "protocol": "fast",
        "classifier": "logistic regression by L-BFGS on features without augmentation: mean cross-entropy + l2 / 2 |W|^2; fitted "
        "again on all training images with the chosen l2",
        "norm": "each dimension to mean 0 and deviation 1 on the images that are fitted",
        "setting": "l2",
        "results": results,
    }
