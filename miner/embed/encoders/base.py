"""An encoder: a frozen network, the preprocessing of its input, and the origin of its weights."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from miner.embed.options import Layer, Pool
from miner.errors import MinerError, UsageError
from miner.images.preprocess import Preprocess


@dataclass(frozen=True)
class EncoderRequest:
    """What the user asked of an encoder; its factory takes this.

    Attributes:
        name: the name as the user typed it.
        model: the name without its family and file.
        path: the local file or folder in the name, which exists; or None.
        layer: the features of the backbone, the output of the projector, or the features of a run's teacher and student.
        pool: how a feature map or tokens become one vector; auto: as the encoder was trained.
        random: whether the weights are random; the factory then fetches none.
    """

    name: str
    model: str
    path: Path | None = None
    layer: Layer = "backbone"
    pool: Pool = "auto"
    random: bool = False

    def refuse_projector(self, reason: str) -> None:
        """Called by an encoder without a projector.

        Raises:
            UsageError: the projector was asked for.
        """
        if self.layer == "projector":
            raise UsageError(f"--layer projector: {self.name} has no projector; {reason}. Use --layer backbone.")

    def refuse_streams(self) -> None:
        """Called by an encoder without teacher and student.

        Raises:
            UsageError: teacher and student were asked for.
        """
        if self.layer == "streams":
            raise UsageError(f"--layer streams: {self.name} is no run of dino or graphnnclr. Use --layer backbone.")

    def refuse_pooling(self, reason: str) -> None:
        """Called by an encoder that has one way of pooling.

        Raises:
            UsageError: another pooling was asked for.
        """
        if self.pool != "auto":
            raise UsageError(f"--pool {self.pool} does not fit {self.name}: {reason}. Use --pool auto.")


@dataclass(frozen=True)
class Encoder:
    """A frozen image encoder.

    Attributes:
        name: the name as the user typed it.
        network: float32 (n, 3, crop, crop) -> (n, dim), in evaluation mode.
        preprocess: from a decoded image to the network's input.
        licence: the licence of the weights, as far as it is known.
        labels_seen: labels that the weights were trained with, or "none". Such labels reach the pairs.
        layer, pool: as asked for.
        weights_sha256: the SHA-256 of the published weights, before batch norms are folded.
        float32_part: the part of the network that computes in float32 even if bfloat16 is asked for.
    """

    name: str
    network: nn.Module
    preprocess: Preprocess
    licence: str
    labels_seen: str
    layer: Layer = "backbone"
    pool: Pool = "auto"
    weights_sha256: str = ""
    float32_part: str = ""

    @cached_property
    def dim(self) -> int:
        """Length of a vector. One black image is encoded on the network's device to find it."""
        device = next((tensor.device for tensor in self.network.state_dict().values()), torch.device("cpu"))
        side = self.preprocess.crop
        black = torch.zeros(1, side, side, 3, dtype=torch.uint8, device=device)
        return self.encode(black, torch.float32).shape[1]

    def encode(self, pixels: torch.Tensor, precision: torch.dtype) -> torch.Tensor:
        """Unit vectors of images.

        Args:
            pixels: uint8 (n, crop, crop, 3) on the network's device.
            precision: bfloat16 runs the network under autocast. The vectors are normalised in float32 in any case.
        Returns:
            float32 (n, dim), rows of length 1. A row that cannot be normalised (zero or not finite) is all NaN.
        Raises:
            MinerError: the network gives a map or tokens instead of one vector per image.
        """
        with torch.inference_mode():
            images = self.preprocess.normalise(pixels)
            with torch.autocast(pixels.device.type, precision, enabled=precision != torch.float32):
                features = self.network(images)
            features = self._one_vector_each(features).float()
            length = features.norm(dim=1, keepdim=True)
            usable = torch.isfinite(length) & (length > 0)
            return torch.where(usable, features / length, torch.nan)

    def _one_vector_each(self, features: torch.Tensor) -> torch.Tensor:
        if features.ndim < 2 or any(side != 1 for side in features.shape[2:]):
            raise MinerError(
                f"{self.name} gives {tuple(features.shape[1:])} per image, not one vector. Choose --pool avg, max or cls."
            )
        return features.flatten(1)

    def record(self) -> dict[str, Any]:
        """The record in the manifest. Layer and pooling appear in it only if they are not the default."""
        chosen = {
            "layer": self.layer if self.layer != "backbone" else "",
            "pool": self.pool if self.pool != "auto" else "",
            "float32_part": self.float32_part,
        }
        return {
            "name": self.name,
            "weights_sha256": self.weights_sha256,
            "preprocess": self.preprocess.record(),
            "licence": self.licence,
            "labels_seen": self.labels_seen,
            **{name: value for name, value in chosen.items() if value},
        }


def weights_sha256(network: nn.Module) -> str:
    """sha256 over the names and values of all parameters and buffers. It does not depend on the file that held them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
