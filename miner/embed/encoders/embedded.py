"""The encoder that made the embeddings of a workspace."""

import torch

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.embed.encoders.base import Encoder
from miner.embed.encoders.registry import load_encoder
from miner.errors import MinerError


def encoder_of(embeddings: EmbeddingsManifest, device: torch.device) -> Encoder:
    """The encoder, with the weights that it had then; `embeddings` were not refined and did not exist already.

    Raises:
        MinerError: it cannot be loaded, or has other weights now.
    """
    request = embeddings.request
    assert request.encoder is not None
    encoder = load_encoder(request.encoder, device, request.layer, request.pool)
    if embeddings.encoder.weights_sha256 not in (None, encoder.record()["weights_sha256"]):
        raise MinerError(
            f"The encoder {encoder.name} has other weights than when the images were embedded. Embed again with --force."
        )
    return encoder
