"""The vectors of `miner embed` as features."""

import torch
from torch import Tensor
from torch.nn import functional as F

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.runs.labelled import LabelledSplit
from miner.artifacts.workspace import Workspace


def embedded_rows(workspace: Workspace, split: LabelledSplit, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """Unit rows of the gallery, which are the workspace's own images, and of the test images: float32 (n, d) and (m, d).

    Returns:
        None if an image has no vector in `embeddings/` or in `test/`.
    """
    if EmbeddingsManifest.find(workspace) is None:
        return None
    own = EmbeddingStore(workspace)
    beside = None if split.test.source is split.gallery.source else EmbeddingsManifest.find(workspace.test)
    if beside is not None and beside.source.spec not in (split.test.name, split.test.source.spec):
        return None
    found = []
    for store, images in ((own, split.gallery), (EmbeddingStore(workspace.test) if beside else own, split.test)):
        rows = {key: row for row, key in enumerate(store.keys)}
        if not all(entry.key in rows for entry in images.entries):
            return None
        vectors = torch.from_numpy(store.vectors[[rows[entry.key] for entry in images.entries]])
        found.append(F.normalize(vectors.to(device).float(), dim=1))
    return found[0], found[1]
