"""One network as the backbone of a detector: trained, tested, and described with every setting."""

from pathlib import Path
from typing import Any

from miner.downstream.detect.annotations import AnnotatedSet
from miner.downstream.detect.detector import c4_detector
from miner.downstream.detect.precision import average_precisions
from miner.downstream.detect.training import (
    DECAY,
    FALLS,
    LR_BATCH,
    MOMENTUM,
    find_objects,
    norm_batches,
    train_detector,
)
from miner.downstream.network import JudgedNetwork
from miner.engine import Record
from miner.errors import MinerError
from miner.evaluate.detect_options import DetectOptions
from miner.machine.device import resolve_device

_PARTS_OF_LOSSES = 20
PROTOCOL = {
    "detector": "Faster R-CNN C4: maps of the fourth block, the fifth block and a batch norm after it for each region; torchvision",
    "norms": "batch norms are trained on the whole batch of one process, none is frozen; their statistics are estimated anew "
    "from batches of training photographs before the test",
    "optimizer": f"SGD, momentum {MOMENTUM}, weight decay {DECAY:g} except on batch norms, lr x batch / {LR_BATCH}, linear warm-up "
    f"from a thousandth, / 10 after {' and '.join(f'{share:.3g}' for share in FALLS)} of the steps",
    "proposals": "12,000 before and 2,000 after nms in training, 6,000 and `test_regions` in the test; RoIAlign 14 x 14, aligned",
    "detections": "nms 0.5, a score of 0.05 or more, at most 100 per image",
    "differences": "from MoCo's Detectron2: smooth L1 with beta 1/9 for the boxes of regions, torchvision's placement of anchors, "
    "no batches by shape, mean and deviation of channels as the network was trained",
    "precision": "float32",
}


def measure(
    options: DetectOptions, network: JudgedNetwork, train: AnnotatedSet, test: AnnotatedSet, checkpoint: Path
) -> Record:
    """Train from the checkpoint if there is one, and test; raises as `c4_detector`, `train_detector` and `find_objects`.

    Args:
        test: with the classes of `train`.
    """
    device, encoder = resolve_device(options.device), network.open()
    learned = train.for_training()
    if not learned:
        raise MinerError(f"{train.spec} has no photograph with a box, so nothing to train on.")
    detector = c4_detector(
        encoder.network,
        len(train.classes),
        encoder.preprocess.mean,
        encoder.preprocess.std,
        sides=options.sides,
        longest=options.longest,
        regions=options.regions,
        test_regions=options.test_regions,
        seed=options.seed,
    ).to(device)
    losses = train_detector(options, detector, learned, checkpoint, device)
    found = find_objects(detector, test.images, options.workers, device)
    settings: dict[str, Any] = {name: getattr(options, name) for name in _SETTINGS}
    return {
        **network.describe(encoder),
        "preprocess": {"mean": list(encoder.preprocess.mean), "std": list(encoder.preprocess.std)},
        **PROTOCOL,
        **settings,
        "norm_batches": norm_batches(options),
        "format": train.format,
        "train": train.spec,
        "test": test.spec,
        "n_train": len(learned),
        "n_test": len(test.images),
        "n_train_objects": sum(len(image.boxes) for image in learned),
        "n_test_objects": sum(int((~image.difficult).sum()) for image in test.images),
        "classes": list(train.classes),
        "losses": _means(losses),
        **average_precisions(test.images, found, train.classes),
    }


_SETTINGS = ("iterations", "batch_size", "lr", "warmup", "sides", "longest", "regions", "test_regions", "seed")


def _means(losses: list[float]) -> list[float]:
    """The mean loss of up to 20 parts of the training, in their order."""
    size = -(-len(losses) // _PARTS_OF_LOSSES)
    parts = [losses[start : start + size] for start in range(0, len(losses), size)]
    return [sum(part) / len(part) for part in parts]
