"""The measurement behind `miner eval knn`."""

from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from miner.artifacts.runs.inputs import Inputs
from miner.engine.records import Record
from miner.evaluate.options import PROTOCOLS, KnnOptions
from miner.evaluate.setup import describe, load_pixels, open_subject
from miner.learning.knn import accuracy_percent, nearest, weighted_vote


def measure(options: KnnOptions, run: Path, inputs: Inputs | None) -> Record:
    """Top-1 accuracy in percent of the trained and of the starting weights, under both protocols.

    Args:
        options: as asked.
        run: folder of a finished run.
        inputs: the workspace's own images; needed without `options.gallery`.
    """
    subject = open_subject(options, run, inputs)
    sides = subject.split.gallery, subject.split.test
    gallery, test = (load_pixels(side, subject.trained.image_size, options.workers) for side in sides)
    top1 = {}
    for name in subject.backbones:
        features = [F.normalize(subject.pooled(name, pixels, options.batch_size), dim=1) for pixels in (gallery, test)]
        top1[name] = top1_by_protocol(features[1], features[0], subject.labels, subject.truth, subject.class_count)
    return {
        **describe(subject, run, options.best),
        **knn_results(top1, len(gallery)),
    }


def knn_results(top1: dict[str, list[float]], gallery: int) -> Record:
    """What a record says of kNN.

    Args:
        top1: by name of the features, accuracy under each of `PROTOCOLS`.
        gallery: how many images vote.
    """
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


def top1_by_protocol(test: Tensor, gallery: Tensor, labels: Tensor, truth: Tensor, class_count: int) -> list[float]:
    """Accuracy in percent under each of `PROTOCOLS`; the neighbours are searched once, for the greatest k.

    Args:
        test: unit rows, float32 (Q, d).
        gallery: unit rows, float32 (N, d).
        labels: of the gallery, int64 (N,), in [0, class_count).
        truth: int64 (Q,).
        class_count: of all labels.
    """
    most = min(max(k for k, _ in PROTOCOLS), len(gallery))
    similarities, neighbours = nearest(test, gallery, most)
    voters = labels[neighbours]
    return [
        accuracy_percent(weighted_vote(similarities[:, :k], voters[:, :k], temperature, class_count), truth)
        for k, temperature in PROTOCOLS
    ]
