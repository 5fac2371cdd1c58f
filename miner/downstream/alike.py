"""Images encoded as those of a workspace: by the same encoder, or by its architecture with random weights."""

import torch
from torch import Tensor

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.runs.labelled import LabelledImages
from miner.artifacts.workspace import Workspace
from miner.downstream.network import encoded_features
from miner.embed.encoders.base import Encoder
from miner.embed.encoders.embedded import encoder_of
from miner.embed.encoders.registry import load_encoder
from miner.errors import MinerError
from miner.evaluate.embedded import NotComparedError
from miner.evaluate.options import EvaluateOptions


def encoded_alike(
    options: EvaluateOptions, workspace: Workspace, images: LabelledImages, device: torch.device, random: bool
) -> Tensor:
    """Features of images, float32 (n, d), on the device.

    Raises:
        NotComparedError: the encoder of the workspace cannot be built.
    """
    encoder = _encoder(EmbeddingsManifest.read(workspace), device, random)
    return encoded_features(encoder, images, options.batch_size, device, options.workers)


def _encoder(embeddings: EmbeddingsManifest, device: torch.device, random: bool) -> Encoder:
    asked = embeddings.request
    if asked.encoder is None:
        raise NotComparedError("no encoder is known of these vectors")
    if random and asked.encoder.startswith("random:"):
        raise NotComparedError("the encoder has some itself")
    try:
        if random:
            return load_encoder(f"random:{asked.encoder}", device, asked.layer, asked.pool)
        return encoder_of(embeddings, device)
    except MinerError as error:
        raise NotComparedError(str(error).rstrip(".")) from error
