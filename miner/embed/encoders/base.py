"""What an encoder is: a frozen network with the preprocessing that it expects and a note on where it comes from."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from miner.embed.preprocess import Preprocess


@dataclass(frozen=True)
class Encoder:
    """A frozen image encoder.

    Attributes:
        name: as the user typed it.
        network: float32 (n, 3, crop, crop) -> (n, dim), in evaluation mode.
        preprocess: what its input must have gone through.
        licence: of the weights, as far as known.
        labels_seen: labels that the weights were trained with, or "none"; a pair miner must state this.
    """

    name: str
    network: nn.Module
    preprocess: Preprocess
    licence: str
    labels_seen: str

    def encode(self, pixels: torch.Tensor, precision: torch.dtype) -> torch.Tensor:
        """Unit vectors of images.

        Args:
            pixels: uint8 (n, crop, crop, 3) on the network's device.
            precision: bfloat16 runs the network under autocast; the vectors are normalised in float32 either way.
        Returns:
            float32 (n, dim), rows of length 1; a row that cannot be normalised (zero or not finite) is all NaN.
        """
        with torch.inference_mode():
            images = self.preprocess.normalise(pixels)
            with torch.autocast(pixels.device.type, precision, enabled=precision != torch.float32):
                features = self.network(images)
            features = features.flatten(1).float()
            length = features.norm(dim=1, keepdim=True)
            usable = torch.isfinite(length) & (length > 0)
            return torch.where(usable, features / length, torch.nan)

    def record(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "name": self.name,
            "weights_sha256": weights_sha256(self.network),
            "preprocess": self.preprocess.record(),
            "licence": self.licence,
            "labels_seen": self.labels_seen,
        }


def weights_sha256(network: nn.Module) -> str:
    """sha256 over the names and values of all parameters and buffers, so that equal weights agree whatever file held them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
