"""The measurement behind `miner eval knn`."""

from pathlib import Path

import torch
from torch import Tensor

from miner.device import resolve_device
from miner.evaluate.data import LabelledSet, Split, split
from miner.evaluate.features import encode
from miner.evaluate.options import PROTOCOLS, KnnOptions
from miner.evaluate.vote import accuracy_percent, nearest, weighted_vote
from miner.train.export import TrainedBackbone, load_backbone, starting_backbone
from miner.train.images import load_images
from miner.train.inputs import Inputs
from miner.workspace import Record


def measure(options: KnnOptions, run: Path, inputs: Inputs | None) -> Record:
    """Top-1 accuracy in percent of the trained and of the starting weights, under both protocols.

    Args:
        options: as asked.
        run: folder of a finished run.
        inputs: the workspace's own images; needed without `options.gallery`.
    """
    device = resolve_device(options.device)
    trained, start = load_backbone(run), starting_backbone(run)
    found = split(options, inputs, str(trained.config["source"]))
    gallery, test = (_pixels(side, trained.image_size, options.workers) for side in (found.gallery, found.test))
    labels, truth = (_labels(side).to(device) for side in (found.gallery, found.test))
    top1 = {}
    for name, backbone in (("trained", trained), ("random", start)):
        features = [_encode(backbone, pixels, options.batch_size, device, name) for pixels in (gallery, test)]
        top1[name] = _top1(features[1], features[0], labels, truth, len(found.classes))
    majority = torch.bincount(labels).argmax()
    return {
        **_settings(run, trained, found),
        "results": [
            {
                "k": min(k, len(labels)),
                "k_asked": k,
                "temperature": temperature,
                "trained": top1["trained"][number],
                "random": top1["random"][number],
            }
            for number, (k, temperature) in enumerate(PROTOCOLS)
        ],
        "majority": accuracy_percent(majority.expand_as(truth), truth),
    }


def _settings(run: Path, backbone: TrainedBackbone, found: Split) -> Record:
    return {
        "run": run.name,
        "unit": "top-1 accuracy in percent",
        "layer": "backbone, pooled",
        "mode": "eval: running statistics, no augmentation, float32",
        "norm": "l2",
        "vote": "exp(cosine / temperature)",
        "resize": f"shorter side to {backbone.image_size} px (bilinear, antialias), central square",
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "random_weights": "those the run started from",
        "gallery": found.gallery.name,
        "test": found.test.name,
        "test_origin": found.origin,
        "queries_seen_unlabelled": found.seen_in_training,
        "n_gallery": len(found.gallery.entries),
        "n_test": len(found.test.entries),
        "classes": len({entry.label for entry in found.gallery.entries}),
        "class_names": found.classes,
    }


def _top1(test: Tensor, gallery: Tensor, labels: Tensor, truth: Tensor, class_count: int) -> list[float]:
    """Accuracy in percent under each protocol; the neighbours are searched once, for the greatest k."""
    most = min(max(k for k, _ in PROTOCOLS), len(gallery))
    similarities, neighbours = nearest(test, gallery, most)
    voters = labels[neighbours]
    return [
        accuracy_percent(weighted_vote(similarities[:, :k], voters[:, :k], temperature, class_count), truth)
        for k, temperature in PROTOCOLS
    ]


def _pixels(images: LabelledSet, image_size: int, workers: int) -> Tensor:
    return load_images(images.source, images.entries, image_size, workers, f"decode {images.name}")


def _labels(images: LabelledSet) -> Tensor:
    return torch.tensor([entry.label for entry in images.entries], dtype=torch.long)


def _encode(backbone: TrainedBackbone, pixels: Tensor, batch_size: int, device: torch.device, name: str) -> Tensor:
    module = backbone.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return encode(
        module, pixels, backbone.mean, backbone.std, batch_size=batch_size, device=device, title=f"encode, {name}"
    )
