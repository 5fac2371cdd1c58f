"""What an encoder is: a frozen network with the preprocessing that it expects and a note on where it comes from."""

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
    """What is asked of the factory of an encoder.

    Attributes:
        name: as the user typed it.
        model: the name without its family and file.
        path: the local file or folder that it names, known to exist; or None.
        layer: the backbone's features, the projector's output, or the features of a run's teacher and student.
        pool: how a feature map or tokens become one vector; auto is the encoder's own way.
    """

    name: str
    model: str
    path: Path | None = None
    layer: Layer = "backbone"
    pool: Pool = "auto"

    def refuse_projector(self, reason: str) -> None:
        """Refuse the projector where there is none.

        Raises:
            UsageError: it was asked for.
        """
        if self.layer == "projector":
            raise UsageError(f"--layer projector: {self.name} has no projector; {reason}. Use --layer backbone.")

    def refuse_streams(self) -> None:
        """Refuse teacher and student where there is one network.

        Raises:
            UsageError: they were asked for.
        """
        if self.layer == "streams":
            raise UsageError(f"--layer streams: {self.name} is no run of graphnnclr. Use --layer backbone.")

    def refuse_pooling(self, reason: str) -> None:
        """Refuse a choice of pooling where there is none.

        Raises:
            UsageError: one was made.
        """
        if self.pool != "auto":
            raise UsageError(f"--pool {self.pool} does not fit {self.name}: {reason}. Use --pool auto.")


@dataclass(frozen=True)
class Encoder:
    """A frozen image encoder.

    Attributes:
        name: as the user typed it.
        network: float32 (n, 3, crop, crop) -> (n, dim), in evaluation mode.
        preprocess: what its input must have gone through.
        licence: of the weights, as far as known.
        labels_seen: labels that the weights were trained with, or "none"; a pair miner must state this.
        layer, pool: which of its outputs this is.
        weights_sha256: as published, whatever form the network has now.
        float32_part: what of the network does its arithmetic in float32 also when bfloat16 is asked for.
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
        """Length of its vectors, by encoding one black image where the network is."""
        device = next((tensor.device for tensor in self.network.state_dict().values()), torch.device("cpu"))
        side = self.preprocess.crop
        black = torch.zeros(1, side, side, 3, dtype=torch.uint8, device=device)
        return self.encode(black, torch.float32).shape[1]

    def encode(self, pixels: torch.Tensor, precision: torch.dtype) -> torch.Tensor:
        """Unit vectors of images.

        Args:
            pixels: uint8 (n, crop, crop, 3) on the network's device.
            precision: bfloat16 runs the network under autocast; the vectors are normalised in float32 either way.
        Returns:
            float32 (n, dim), rows of length 1; a row that cannot be normalised (zero or not finite) is all NaN.
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
        """For the manifest; layer and pooling only where they were chosen."""
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
    """sha256 over the names and values of all parameters and buffers, so that equal weights agree whatever file held them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
