"""From an encoder's name to the encoder."""

from dataclasses import replace
from pathlib import Path

import torch

from miner.embed.encoders.base import Encoder
from miner.errors import UsageError

DEFAULT = "efficientnet_lite0"


def load_encoder(name: str, device: torch.device) -> Encoder:
    """Load a frozen encoder onto a device.

    Args:
        name: `efficientnet_lite0`; a torchvision model such as `resnet50`; `timm:NAME`; or either of the last two with
            `@FILE` behind it, to take the weights from a local checkpoint.
        device: where it will run.
    Raises:
        UsageError: no such encoder; the message names what there is.
        MinerError: its weights cannot be fetched or do not fit.
    """
    architecture, _, file = name.partition("@")
    checkpoint = Path(file) if file else None
    if checkpoint is not None and not checkpoint.is_file():
        raise UsageError(f"--encoder {name}: there is no file {checkpoint}.")
    encoder = _build(architecture, checkpoint)
    network = encoder.network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return replace(encoder, name=name, network=network)


def _build(architecture: str, checkpoint: Path | None) -> Encoder:
    if architecture == DEFAULT:
        if checkpoint is not None:
            raise UsageError(
                f"--encoder {DEFAULT} brings its own weights; @FILE goes with torchvision and timm models."
            )
        from miner.embed.encoders.efficientnet_lite import efficientnet_lite0

        return efficientnet_lite0()
    if architecture.startswith("timm:"):
        from miner.embed.encoders.timm_zoo import timm_encoder

        return timm_encoder(architecture.removeprefix("timm:"), checkpoint)
    from miner.embed.encoders.torchvision_zoo import torchvision_encoder

    return torchvision_encoder(architecture, checkpoint)
