"""The network that an evaluation judges, whatever its origin: a run (student, teacher or best), torchvision, timm, or a file."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from miner.artifacts.runs.labelled import LabelledImages
from miner.artifacts.runs.manifest import BEST_FILE, TEACHER_FILE
from miner.artifacts.runs.networks import check_kept, load_projector
from miner.artifacts.workspace import Workspace
from miner.embed.encoder_name import parse_encoder
from miner.embed.encoders.base import Encoder
from miner.embed.encoders.registry import trainable_encoder
from miner.engine import Record, file_record
from miner.engine.records import fingerprint
from miner.errors import MinerError
from miner.evaluate.network_options import NetworkOptions
from miner.evaluate.run import find_run
from miner.images.loading import check_memory, decode_entry, decode_in_order
from miner.images.preprocess import Preprocess
from miner.machine.memory import free_bytes
from miner.source import Entry


@dataclass(frozen=True)
class JudgedNetwork:
    """A network by the name of its encoder.

    Attributes:
        encoder: as `miner embed --encoder` takes it.
        label: of its records: the name of the run, or of the network.
        folder: where its records lie: RUN/eval of a run, else WORKSPACE/eval.
        ending: of the names of its records; it tells the weights apart, and the networks in one folder.
        run: the folder of the run; None for another network.
    """

    encoder: str
    label: str
    folder: Path
    ending: str
    run: Path | None

    @property
    def control(self) -> str | None:
        """The name of the same architecture with random weights; None if it has some itself."""
        return None if self.encoder.startswith("random:") else f"random:{self.encoder}"

    def open(self, random: bool = False, layer: Literal["backbone", "projector1"] = "backbone") -> Encoder:
        """The encoder with trainable layers, on the CPU, in evaluation mode; `random` takes its random weights.

        Args:
            layer: projector1 adds the first layer of the run's projector.
        Raises:
            MinerError: the run has no projector of several layers.
        """
        encoder = trainable_encoder(self.control or self.encoder if random else self.encoder)
        if layer == "backbone":
            return encoder
        first = _first_layer(load_projector(self.run, random) if self.run else None)
        return replace(encoder, network=nn.Sequential(encoder.network, first).eval().requires_grad_(True))

    def identity(self) -> Record:
        """What decides its features: the name, and the checksums of its local files."""
        files = parse_encoder(self.encoder).files
        name = self.label if self.run else self.encoder
        return {"network": name, "files": {file.name: file_record(file)["sha256"] for file in files}}

    def describe(self, encoder: Encoder) -> Record:
        """The network and its input, for a record."""
        return {
            "network": self.label,
            "run": self.run.name if self.run else None,
            "weights_sha256": encoder.weights_sha256,
            "labels_seen": encoder.labels_seen,
            "preprocess": encoder.preprocess.record(),
        }


def find_network(options: NetworkOptions, workspace: Workspace) -> JudgedNetwork:
    """The network that the options name; nothing is loaded yet.

    Raises:
        MinerError: there is no such run, or it kept no such weights.
    """
    if options.network is not None:
        ending = f"-{file_label(options.network)}"
        return JudgedNetwork(options.network, options.network, workspace.root / "eval", ending, None)
    run = find_run(workspace, options.run)
    if options.best or options.teacher:
        file, ending = (BEST_FILE, "-best") if options.best else (TEACHER_FILE, "-teacher")
        check_kept(run, file)
        return JudgedNetwork(f"run:{run / file}", f"{run.name}{ending}", run / "eval", ending, run)
    return JudgedNetwork(f"run:{run}", run.name, run / "eval", "", run)


def _first_layer(projector: nn.Sequential | None) -> nn.Sequential:
    """The layers of a projector to its first activation."""
    layers = list(projector or ())
    ends = [number for number, layer in enumerate(layers, 1) if isinstance(layer, nn.ReLU | nn.GELU)]
    if not ends:
        raise MinerError("--layer projector1 needs a run with a projector of several layers. Take --layer backbone.")
    return nn.Sequential(*layers[: ends[0]])


def file_label(name: str) -> str:
    """A name as a part of a file name. Of a name above 80 bytes, a checksum and the end: a file name has at most 255."""
    label = "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in name)
    return label if len(label.encode()) <= 80 else f"{fingerprint(name)}-{label[-16:]}"


def load_pixels(images: LabelledImages, preprocess: Preprocess, workers: int) -> Tensor:
    """Images as a network takes them, uint8 (n, 3, side, side), on the CPU.

    Raises:
        MinerError: they would fill more than half of the free memory, or one cannot be decoded.
    """
    side = preprocess.crop
    check_memory(len(images.entries) * 3 * side * side, side, free_bytes())
    pixels = np.empty((len(images.entries), 3, side, side), np.uint8)
    for row, image in enumerate(_decoded(images, preprocess, workers)):
        pixels[row] = image
    return torch.from_numpy(pixels)


@torch.no_grad()
def encoded_features(
    encoder: Encoder, images: LabelledImages, batch_size: int, device: torch.device, workers: int
) -> Tensor:
    """Pooled features in evaluation mode, without augmentation, in float32 and at their own length: (n, width), on `device`.

    Only one batch of images is in memory.

    Raises:
        MinerError: an image cannot be decoded.
    """
    network, preprocess, decoded = (
        encoder.network.eval(),
        encoder.preprocess,
        _decoded(images, encoder.preprocess, workers),
    )
    rows = []
    while batch := list(islice(decoded, batch_size)):
        pixels = torch.from_numpy(np.stack(batch)).to(device)
        rows.append(network(preprocess.normalise(pixels.permute(0, 2, 3, 1))).float().flatten(1))
    return torch.cat(rows)


def _decoded(images: LabelledImages, preprocess: Preprocess, workers: int) -> Iterator[NDArray[np.uint8]]:
    def decode(entry: Entry) -> NDArray[np.uint8]:
        return preprocess.pixels_of(decode_entry(images.source, entry, preprocess)).transpose(2, 0, 1)

    return decode_in_order(images.entries, decode, workers, f"images of {images.name}")
