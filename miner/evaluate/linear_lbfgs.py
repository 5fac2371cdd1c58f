"""The fast linear protocol: logistic regression on features that are computed once."""

from torch import Tensor

from miner.engine import Progress
from miner.engine.records import Record
from miner.evaluate.options import LinearOptions
from miner.evaluate.selection import Candidate, best, outcome
from miner.evaluate.setup import Subject, load_pixels
from miner.learning.knn import accuracy_percent
from miner.learning.logistic import Scaler, fit_logistic, logits

# From strong to weak, each fit starting at the one before. Kornblith et al. 2019 (arXiv 1805.08974) try 45 values.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
_PATIENCE = 3


def measure_fast(options: LinearOptions, subject: Subject, validation: Tensor) -> Record:
    """Fit and test both backbones.

    Args:
        options: as asked.
        subject: the run and its labelled images.
        validation: bool (n_gallery,), the images that the penalty is chosen on.
    """
    sides = subject.split.gallery, subject.split.test
    pixels = [load_pixels(side, subject.trained.image_size, options.workers) for side in sides]
    results = {}
    for name in subject.backbones:
        train, test = (subject.pooled(name, images, options.batch_size) for images in pixels)
        with Progress(f"fit, {name}", total=len(PENALTIES) + 1, item="fits") as progress:
            candidates = try_penalties(train, subject.labels, validation, subject.class_count, progress)
            predicted = classify(train, subject.labels, test, subject.class_count, best(candidates).value)
        results[name] = outcome("l2", candidates, accuracy_percent(predicted, subject.truth))
    return {
        "protocol": "fast",
        "classifier": "logistic regression by L-BFGS on features without augmentation: mean cross-entropy + l2 / 2 |W|^2; fitted "
        "again on all training images with the chosen l2",
        "norm": "each dimension to mean 0 and deviation 1 on the images that are fitted",
        "setting": "l2",
        "results": results,
    }


def try_penalties(
    features: Tensor, labels: Tensor, validation: Tensor, class_count: int, progress: Progress | None = None
) -> list[Candidate]:
    """Accuracy on the validation rows by penalty, until three weaker ones in a row are no better.

    Args:
        features: float32 (n, width).
        labels: int64 (n,).
        validation: bool (n,); the other rows are fitted.
        class_count: of all labels.
        progress: counts the fits.
    """
    scale = Scaler.of(features[~validation])
    fitted, held_out = scale(features[~validation]), scale(features[validation])
    weights: Tensor | None = None
    candidates: list[Candidate] = []
    for l2 in PENALTIES:
        weights = fit_logistic(fitted, labels[~validation], class_count, l2, start=weights)
        accuracy = accuracy_percent(logits(weights, held_out).argmax(dim=1), labels[validation])
        candidates.append(Candidate(l2, accuracy))
        if progress is not None:
            progress.advance()
        if len(candidates) - candidates.index(best(candidates)) > _PATIENCE:
            break
    return candidates


def classify(features: Tensor, labels: Tensor, queries: Tensor, class_count: int, l2: float) -> Tensor:
    """Classes, int64 (q,), of `queries`, float32 (q, width), after a fit of all `features`, float32 (n, width)."""
    scale = Scaler.of(features)
    weights = fit_logistic(scale(features), labels, class_count, l2)
    return logits(weights, scale(queries)).argmax(dim=1)
