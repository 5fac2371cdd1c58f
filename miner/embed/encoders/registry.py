"""From an encoder's name to the encoder."""

from collections.abc import Callable
from dataclasses import replace

import torch

from miner.embed.encoder_name import OTHERS_OF_A_RUN, EncoderName, parse_encoder
from miner.embed.encoders import efficientnet_lite
from miner.embed.encoders.base import Encoder, EncoderRequest, weights_sha256
from miner.embed.encoders.efficientnet_lite import efficientnet_lite as lite_encoder
from miner.embed.encoders.folding import fold_batch_norms
from miner.embed.encoders.moco import moco_encoder
from miner.embed.encoders.onnx_file import onnx_encoder, refuse_torchscript
from miner.embed.encoders.published import PUBLISHED, published_encoder
from miner.embed.encoders.timm_zoo import timm_encoder
from miner.embed.encoders.torchvision_zoo import torchvision_encoder
from miner.embed.encoders.trained_run import run_encoder
from miner.embed.options import Layer, Pool
from miner.errors import UsageError
from miner.learning.randomness import seeded

Factory = Callable[[EncoderRequest], Encoder]

_BY_FAMILY: dict[str, Factory] = {
    "timm": timm_encoder,
    "moco": moco_encoder,
    "run": run_encoder,
    "onnx": onnx_encoder,
    "script": refuse_torchscript,
}
_BY_NAME: dict[str, Factory] = {
    **dict.fromkeys(efficientnet_lite.NAMES, lite_encoder),
    **dict.fromkeys(PUBLISHED, published_encoder),
}


def load_encoder(name: str, device: torch.device, layer: Layer = "backbone", pool: Pool = "auto") -> Encoder:
    """Load a frozen encoder onto a device.

    Args:
        name: as in docs/encoders.md; `NAME@FILE` takes the weights from a local file, `random:NAME` random weights.
        device: that the encoder will run on.
        layer, pool: as in `EncoderRequest`.
    Raises:
        UsageError: there is no such encoder (the message names those that exist), or it has no such layer or pooling.
        MinerError: the weights cannot be fetched or do not fit.
    """
    encoder = trainable_encoder(name, layer, pool)
    network = encoder.network.requires_grad_(False)
    folded = fold_batch_norms(network, encoder.preprocess.crop)
    return replace(encoder, network=folded.to(device, memory_format=torch.channels_last))  # type: ignore[call-overload]


def trainable_encoder(name: str, layer: Layer = "backbone", pool: Pool = "auto") -> Encoder:
    """The encoder of `load_encoder` on the CPU with all its layers, so that it can be trained further; in evaluation mode."""
    parts = parse_encoder(name)
    _check_path(name, parts)
    if parts.random and parts.family == "onnx":
        raise UsageError(f"--encoder {name}: the file holds a network with its weights. Give random:resnet50.")
    factory = _BY_FAMILY.get(parts.family) or _BY_NAME.get(parts.model, torchvision_encoder)
    request = EncoderRequest(name, parts.model, parts.path, layer, pool, parts.random)
    if parts.family != "run":
        request.refuse_streams()
    with seeded(0, "random encoder"):
        encoder = factory(request)
    if parts.random:
        encoder = replace(encoder, licence="none, the weights are random", labels_seen="none")
    network = encoder.network.eval().requires_grad_(True)
    checksum = encoder.weights_sha256 or weights_sha256(network)
    return replace(encoder, network=network, layer=layer, pool=pool, weights_sha256=checksum)


def _check_path(name: str, parts: EncoderName) -> None:
    if parts.path is None or parts.family == "script":
        return
    if parts.family == "run":
        file = parts.path.name in OTHERS_OF_A_RUN
        if not (parts.path.is_file() if file else parts.path.is_dir()):
            missing = f"there is no {'file' if file else 'folder'} {parts.path}"
            raise UsageError(f"--encoder {name}: {missing}. Name a run: WORKSPACE/runs/NAME.")
    elif not parts.path.is_file():
        raise UsageError(f"--encoder {name}: there is no file {parts.path}.")
