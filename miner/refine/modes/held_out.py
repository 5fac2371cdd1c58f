"""Labelled test images in `test/`, beside the embedded images of the workspace, which are the training images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.errors import MinerError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.refine.graph.graph import FeatureRows
    from miner.refine.modes.modes import TrainTestNeighbours


def test_source(embeddings: EmbeddingsManifest, *, test: str | None, limit: int | None, device: str) -> Record:
    """The options of `miner embed` for the test images, as far as they differ from those of the embedded images.

    Args:
        test: a source; the built-in test set of a built-in source if None.
        limit: only the first so many images.
    Raises:
        UsageError: no test set is known.
    """
    from miner.source.named.builtin import HELD_OUT

    source = test or HELD_OUT.get(str(embeddings.asked.get("source")))
    if source is None:
        raise UsageError("Name labelled images to test on: --test SOURCE. Only some built-in sources have a test set.")
    return {"source": source, "limit": limit, "device": device}


@dataclass(frozen=True)
class TrainAndTest:
    """Features, neighbours and labels of n training images and m test images.

    Attributes:
        features: unit rows, float32 (n + m, d), training images first.
        lists: neighbour lists.
        labels, truth: the labels of training and test images, int64 (n,) and (m,), of the same classes.
    """

    features: "FeatureRows"
    lists: "TrainTestNeighbours"
    labels: "NDArray[np.int64]"
    truth: "NDArray[np.int64]"


def read_train_and_test(workspace: Workspace, neighbors: int) -> TrainAndTest:
    """Read the embeddings of both sides.

    Raises:
        MinerError: an image has no label, there is one class only, or class names differ.
    """
    import numpy as np

    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.artifacts.runs.labelled import class_indices
    from miner.pairs.arithmetic.cosine import unit_rows
    from miner.refine.modes.modes import TrainTestNeighbours

    train, test = EmbeddingStore(workspace), EmbeddingStore(workspace.test)
    labels, truth = _labels(train), _labels(test)
    names, test_names = train.manifest.source.classes, test.manifest.source.classes
    index = class_indices(names, test_names, train.manifest.source.spec, test.manifest.source.spec)
    if index is not None:
        truth = np.asarray([index[label] for label in truth.tolist()], np.int64)
    if len(np.unique(labels)) < 2:
        raise MinerError("All training images are of one class; classification needs at least two.")
    features = unit_rows(np.concatenate([train.vectors, test.vectors]))
    return TrainAndTest(features, TrainTestNeighbours(train.vectors, test.vectors, neighbors), labels, truth)


def _labels(store: "EmbeddingStore") -> "NDArray[np.int64]":
    labels = store.labels
    if labels is None or labels.min() < 0:
        raise MinerError(
            f"Not every image of {store.manifest.source.spec} has a label; an evaluation of graphs needs them."
        )
    return labels
