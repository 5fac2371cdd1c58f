"""`miner eval transfer`: logistic regression on frozen features of other data sets.

The protocol is that of Kornblith et al. 2019 (arXiv 1805.08974, section 3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from miner.artifacts.runs.labelled import LabelledImages, LabelledSplit, split_labelled
from miner.artifacts.runs.networks import read_config
from miner.downstream.network import JudgedNetwork, encoded_features
from miner.embed.encoders.base import Encoder
from miner.engine import Progress, Record
from miner.errors import MinerError, UsageError
from miner.evaluate.linear import validation_mask
from miner.evaluate.network_options import TransferOptions
from miner.evaluate.verdict import verdict_sentence
from miner.learning.logistic import Candidate, best_candidate, fit_logistic, logits
from miner.machine.device import resolve_device

# scikit-learn's C: the inverse of the penalty on the sum over the images. From strong to weak; each fit starts at the one before.
C_VALUES = tuple(10.0 ** (-6 + 11 * number / 44) for number in range(45))
HELD_OUT = 0.1
_VALIDATION = {name: f"{name}:val" for name in ("flowers102", "dtd", "aircraft")}
_PER_CLASS = ("flowers102", "oxford-pets", "aircraft")


@dataclass(frozen=True)
class TransferSet:
    """A data set to transfer to.

    Attributes:
        split: training and test images.
        validation: official validation images; None if they are taken from the training images by key.
        metric: top1 or per_class.
    """

    split: LabelledSplit
    validation: LabelledImages | None
    metric: str

    def accuracy(self, named: Tensor, truth: Tensor) -> float:
        """In percent, to three digits after the point."""
        right = (named == truth).float()
        if self.metric == "top1":
            return round(100 * right.mean().item(), 3)
        return round(
            100 * torch.stack([right[truth == label].mean() for label in sorted(set(truth.tolist()))]).mean().item(), 3
        )


def open_set(spec: str, options: TransferOptions, network: JudgedNetwork) -> TransferSet:
    """Open TRAIN, TRAIN,TEST or TRAIN,VALIDATION,TEST.

    Raises:
        UsageError: there are other parts than these.
        MinerError: a source cannot be opened, has no labels, or the classes differ.
    """
    train, *others = spec.split(",")
    if len(others) > 2 or not all([train, *others]):
        raise UsageError(f"--sets {spec!r} is not TRAIN, TRAIN,TEST or TRAIN,VALIDATION,TEST.")
    test = others[-1] if others else None
    held_out = others[0] if len(others) == 2 else None if others else _VALIDATION.get(train)
    trained_on = str(read_config(network.run)["source"]) if network.run else ""
    split = split_labelled(None, trained_on, gallery=train, test=test, limit=options.limit)
    validation = (
        split_labelled(None, trained_on, gallery=train, test=held_out, limit=options.limit).test if held_out else None
    )
    usual = "per_class" if train in _PER_CLASS else "top1"
    return TransferSet(split, validation, usual if options.metric == "auto" else options.metric)


def measure_transfer(options: TransferOptions, network: JudgedNetwork, data: TransferSet) -> Record:
    """Accuracy in percent on the test images with trained and with random weights, and the verdict."""
    device = resolve_device(options.device)
    split, found = data.split, {}
    truth = split.test.labels().to(device)
    for name in ("trained", "random"):
        encoder = network.open(random=name == "random")
        encoder.network.to(device).requires_grad_(False)
        found[name] = _classify(options, encoder, data, truth, device)
    right = {name: named == truth for name, (_, named) in found.items()}
    majority = torch.bincount(split.gallery.labels()).argmax().to(device)
    by_key = validation_mask(split.gallery, HELD_OUT)
    return {
        **network.describe(network.open()),
        "unit": f"{'top-1' if data.metric == 'top1' else 'mean per-class'} accuracy in percent",
        "mode": "eval: running statistics, no augmentation, float32",
        "norm": "none",
        "gallery": split.gallery.name,
        "validation": data.validation.name if data.validation else f"{HELD_OUT:.0%} of the training images, by key",
        "test": split.test.name,
        "test_origin": split.origin,
        "queries_seen_unlabelled": split.seen_in_training,
        "n_gallery": len(split.gallery.entries),
        "n_validation": len(data.validation.entries) if data.validation else int(by_key.sum()),
        "n_test": len(split.test.entries),
        "classes": len({entry.label for entry in split.gallery.entries}),
        "class_names": split.classes,
        "classifier": "logistic regression by L-BFGS, 45 penalties, C from 1e-6 to 1e5; "
        "fitted again on training and validation images",
        "setting": "C",
        "chosen_by": "the highest accuracy on the validation images, the strongest penalty of equal ones",
        "random_weights": "those the run started from" if network.run else "those of random:NAME",
        "majority": data.accuracy(majority.expand_as(truth), truth),
        "results": {name: record for name, (record, _) in found.items()},
        "verdict": verdict_sentence(
            right["trained"],
            {"random weights": right["random"]},
            "trained:",
            None if data.metric == "top1" else truth,
        ),
    }


def _classify(
    options: TransferOptions, encoder: Encoder, data: TransferSet, truth: Tensor, device: torch.device
) -> tuple[Record, Tensor]:
    """What was tried and chosen with its test accuracy, and the class that is named for each test image."""

    def features(images: LabelledImages) -> Tensor:
        return encoded_features(encoder, images, options.batch_size, device, options.workers)

    gallery, split = features(data.split.gallery), data.split
    labels = split.gallery.labels().to(device)
    if data.validation is None:
        mask = validation_mask(split.gallery, HELD_OUT).to(device)
    else:
        gallery = torch.cat([gallery, features(data.validation)])
        labels = torch.cat([labels, data.validation.labels().to(device)])
        mask = torch.arange(len(labels), device=device) >= len(split.gallery.entries)
    class_count, candidates = len(split.classes), []
    weights: Tensor | None = None
    with Progress(f"fit, {encoder.name}", total=len(C_VALUES), item="fits") as progress:
        for c in C_VALUES:
            fitted, known = gallery[~mask], labels[~mask]
            weights = fit_logistic(fitted, known, class_count, 1 / (c * len(known)), start=weights)
            named = logits(weights, gallery[mask]).argmax(dim=1)
            candidates.append(Candidate(c, data.accuracy(named, labels[mask])))
            progress.advance()
    chosen = best_candidate(candidates)
    weights = fit_logistic(gallery, labels, class_count, 1 / (chosen.value * len(labels)))
    named = logits(weights, features(split.test)).argmax(dim=1)
    record = {
        "candidates": [{"C": tried.value, "validation": tried.validation} for tried in candidates],
        "chosen": chosen.value,
        "validation": chosen.validation,
        "test": data.accuracy(named, truth),
    }
    if not torch.isfinite(weights).all():
        raise MinerError(f"Logistic regression on the features of {encoder.name} did not end with finite weights.")
    return record, named
