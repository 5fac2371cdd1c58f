"""Pairs that are drawn by label: a given share within a class, or equally many of each class."""

import torch
from torch import Tensor

from miner.errors import MinerError
from miner.text import counted

_LARGE = 1 << 62


def pairs_by_label(anchors: Tensor, labels: Tensor, precision: float, generator: torch.Generator) -> Tensor:
    """Each anchor with a random other image: of its own class in the share `precision` of the pairs, else of another class.

    With generators in the same state, the pairs within a class of a smaller share are also pairs of a larger share. So a series of
    shares differs only in the pairs that leave their class.

    Args:
        anchors: int64 (pairs,), rows of images.
        labels: int64 (images,), all known.
        precision: in [0, 1]; the number of pairs within a class is rounded.
        generator: the generator of partners, and of the pairs that lie within a class.
    Returns:
        int64 (pairs, 2), anchors and partners.
    Raises:
        MinerError: a label is unknown, an anchor is the only image of its class, or there is no other class.
    """
    images = len(labels)
    _check_labels(labels)
    by_class = labels.argsort(stable=True)
    place = torch.empty_like(by_class).scatter_(0, by_class, torch.arange(images))
    sizes = torch.bincount(labels)
    first = (sizes.cumsum(0) - sizes)[labels[anchors]]
    size = sizes[labels[anchors]]
    agrees = torch.randperm(len(anchors), generator=generator) < round(precision * len(anchors))
    _check_classes(agrees, size, images, labels[anchors])
    number = torch.randint(_LARGE, (len(anchors),), generator=generator)
    # In the order by class, the rest of the anchor's class follows the anchor, and the other classes follow its class, cyclically.
    within = first + (place[anchors] - first + 1 + number % (size - 1).clamp_min(1)) % size
    outside = (first + size + number % (images - size).clamp_min(1)) % images
    return torch.stack([anchors, by_class[torch.where(agrees, within, outside)]], dim=1)


def pairs_of_each_class(labels: Tensor, per_class: int, generator: torch.Generator) -> Tensor:
    """Equally many random pairs of each class, no image in two of them: a stand-in for pairs that people curate.

    Args:
        labels: int64 (images,), all known.
        per_class: pairs of each class.
    Returns:
        int64 (classes x per_class, 2), by class.
    Raises:
        MinerError: a label is unknown, or a class is too small.
    """
    _check_labels(labels)
    order = torch.randperm(len(labels), generator=generator)
    by_class = order[labels[order].argsort(stable=True)]
    sizes = torch.bincount(labels)
    small = ((sizes > 0) & (sizes < 2 * per_class)).nonzero().flatten().tolist()
    if small:
        raise MinerError(
            f"Class {small[0]} has {counted(int(sizes[small[0]]), 'image')} among those trained on; --pairs-per-class "
            f"{per_class} takes {2 * per_class:,}. Give a smaller number, or more images (a higher --limit)."
        )
    place = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes)[labels[by_class]]
    return by_class[place < 2 * per_class].view(-1, 2)


def _check_labels(labels: Tensor) -> None:
    if bool((labels < 0).any()):
        raise MinerError(
            f"{int((labels < 0).sum()):,} of the {counted(len(labels), 'image')} have no label, and pairs are drawn by "
            "label. Use another --pairs-arm, leave out --pairs-per-class, or take images in one folder per class."
        )


def _check_classes(agrees: Tensor, size: Tensor, images: int, classes: Tensor) -> None:
    alone = agrees & (size == 1)
    if bool(alone.any()):
        raise MinerError(
            f"Class {int(classes[alone][0])} has a single image among those trained on, so it has no partner of its class. Use "
            "more images (a higher --limit), or another --pairs-arm."
        )
    if bool((~agrees & (size == images)).any()):
        raise MinerError("All images are of one class, so no pair can be of two classes. Use another --pairs-arm.")
