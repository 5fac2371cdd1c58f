"""Any classification model of torchvision, with the evaluation transform of its default weights."""

import difflib
from pathlib import Path

from miner.embed.encoders.base import Encoder
from miner.embed.encoders.weights import build
from miner.embed.preprocess import Preprocess
from miner.errors import UsageError


def torchvision_encoder(name: str, checkpoint: Path | None) -> Encoder:
    """A torchvision classifier without its last linear layer.

    Raises:
        UsageError: torchvision has no such classifier.
        MinerError: the weights cannot be fetched or do not fit.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        close = difflib.get_close_matches(name, ["efficientnet_lite0", *known], n=3)
        hint = f"Did you mean {' or '.join(close)}?" if close else "Try efficientnet_lite0 or resnet50."
        raise UsageError(f"Unknown encoder {name!r}. {hint} Models of timm are written timm:NAME.")
    weights = models.get_model_weights(name).DEFAULT
    network = build(lambda: models.get_model(name, weights=None if checkpoint else weights), checkpoint, name)
    transform = weights.transforms()
    return Encoder(
        name,
        network,
        Preprocess(
            transform.resize_size[0],
            transform.crop_size[0],
            transform.interpolation.value,
            tuple(transform.mean),
            tuple(transform.std),
        ),
        licence="see the checkpoint" if checkpoint else "see torchvision's model page",
        labels_seen="unknown (local checkpoint)"
        if checkpoint
        else f"{len(weights.meta['categories']):,} classes ({weights})",
    )
