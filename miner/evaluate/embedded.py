"""Features by the encoder of the embeddings: the vectors of `miner embed`, and those of other images where they are few."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.runs.labelled import LabelledImages, LabelledSplit
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.evaluate.verdict import PHRASES
from miner.text import counted

# Encodes images as those of the workspace: (images, device, whether by random weights) -> float32 (n, d), on the device.
EncodeImages = Callable[[LabelledImages, torch.device, bool], Tensor]
# About two minutes of a processor, or of a GPU.
_MOST_ENCODED, _MOST_ON_GPU = 5_000, 100_000


class NotComparedError(MinerError):
    """Why there are no features to compare with, as a part of a sentence."""


def embedded_rows(
    workspace: Workspace,
    split: LabelledSplit,
    device: torch.device,
    *,
    own: bool = True,
    encode: EncodeImages | None = None,
) -> tuple[Tensor, Tensor]:
    """Unit rows of gallery and test images by the encoder of the embeddings: float32 (n, d) and (m, d), on the device.

    Args:
        own: whether the gallery holds images of the workspace.
        encode: for images without a vector in `embeddings/` and `test/`.
    Raises:
        NotComparedError: such images are many, or cannot be encoded.
    """
    store = EmbeddingStore(workspace) if own else None
    beside = store if split.test.source is split.gallery.source else _test_store(workspace, split.test)
    sides = [(split.gallery, _row_by_key(store), store), (split.test, _row_by_key(beside), beside)]
    missing = sum(entry.key not in rows for images, rows, _ in sides for entry in images.entries)
    most = _most_encoded(device)
    if missing and (encode is None or missing > most):
        remedy = "`miner eval knn --embeddings` embeds test images once" if own else _fewer(most)
        raise NotComparedError(f"{counted(missing, 'image has', 'images have')} no vector. {remedy}")
    gallery, test = (_side(images, rows, from_store, device, encode) for images, rows, from_store in sides)
    return F.normalize(gallery, dim=1), F.normalize(test, dim=1)


def random_rows(split: LabelledSplit, device: torch.device, encode: EncodeImages) -> tuple[Tensor, Tensor]:
    """Unit rows of gallery and test images by the architecture of the encoder with random weights.

    Raises:
        NotComparedError: the images are many, or cannot be encoded.
    """
    count = len(split.gallery.entries) + len(split.test.entries)
    if count > (most := _most_encoded(device)):
        raise NotComparedError(f"{count:,} images would be encoded again. {_fewer(most)}")
    gallery, test = (F.normalize(encode(side, device, True), dim=1) for side in (split.gallery, split.test))
    return gallery, test


def add_compared(
    name: str, make: Callable[[], tuple[Tensor, Tensor]], features: dict[str, tuple[Tensor, Tensor]]
) -> list[str]:
    """Put rows among the features; where there are none, the sentence that says why."""
    try:
        features[name] = make()
    except NotComparedError as error:
        return [f"not compared with {PHRASES[name]}: {error}"]
    return []


def _fewer(most: int) -> str:
    return f"--limit {most // 2} compares them on fewer images"


def _most_encoded(device: torch.device) -> int:
    return _MOST_ENCODED if device.type == "cpu" else _MOST_ON_GPU


def _test_store(workspace: Workspace, test: LabelledImages) -> EmbeddingStore | None:
    """The vectors in `test/`, if they are of these images and of the encoder of the workspace."""
    own, found = EmbeddingsManifest.read(workspace), EmbeddingsManifest.find(workspace.test)
    if found is None or found.source.spec not in (test.name, test.source.spec):
        return None
    alike = (found.dim, found.encoder.weights_sha256) == (own.dim, own.encoder.weights_sha256)
    return EmbeddingStore(workspace.test) if alike else None


def _row_by_key(store: EmbeddingStore | None) -> dict[str, int]:
    return {key: row for row, key in enumerate(store.keys)} if store else {}


def _side(
    images: LabelledImages,
    rows: dict[str, int],
    store: EmbeddingStore | None,
    device: torch.device,
    encode: EncodeImages | None,
) -> Tensor:
    """The vectors of some images, stored or encoded now: float32 (n, d)."""
    known = torch.tensor([entry.key in rows for entry in images.entries])
    parts = []
    if store is not None:
        stored = store.vectors[[rows[entry.key] for entry in images.entries if entry.key in rows]]
        parts.append(torch.from_numpy(stored).to(device).float())
    if not known.all() and encode:
        others = [entry for entry in images.entries if entry.key not in rows]
        parts.append(encode(LabelledImages(images.source, others, images.name), device, False))
    order = torch.cat([known.nonzero(), (~known).nonzero()]).squeeze(1)
    return torch.cat(parts)[order.argsort().to(device)]
