"""Labelled test images beside the embedded ones, which train: embedded alike, and of the same classes."""

from typing import TYPE_CHECKING

from miner.artifacts.workspace import Workspace
from miner.engine.records import Record
from miner.errors import MinerError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from miner.artifacts.embeddings.store import EmbeddingStore


def held_out_workspace(workspace: Workspace) -> Workspace:
    """Where the embeddings of the test images are."""
    return Workspace(workspace.root / "test")


def embed_test(
    workspace: Workspace, embeddings: Record, *, test: str | None, limit: int | None, device: str, force: bool
) -> Record:
    """Embed test images as the others were.

    Args:
        workspace: that has embeddings.
        embeddings: their manifest.
        test: a source; the built-in test set of a built-in source if None.
        limit: only the first so many images.
        device: where to encode.
        force: replace what another request made.
    Returns:
        The manifest of their embeddings.
    Raises:
        UsageError: no test set is known.
    """
    from miner.embed.options import EmbedOptions
    from miner.embed.run import embed
    from miner.source.named.builtin import HELD_OUT

    request = embeddings["request"]
    test = test or HELD_OUT.get(str(request.get("source")))
    if test is None:
        raise UsageError("Name labelled images to test on: --test SOURCE. Only some built-in sources bring their own.")
    same = {name: value for name, value in request.items() if name in EmbedOptions.model_fields}
    same |= {"source": test, "limit": limit, "device": device}
    place = held_out_workspace(workspace)
    embed(EmbedOptions.parse(same), place, force=force)
    return place.manifest(place.embeddings)


def labels_of_both(train: "EmbeddingStore", test: "EmbeddingStore") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Labels of both sides, which mean the same classes.

    Raises:
        MinerError: an image has none, there is one class only, or class names differ.
    """
    import numpy as np

    known = []
    for store in (train, test):
        labels = store.labels
        if labels is None or labels.min() < 0:
            raise MinerError(
                f"Not every image of {store.manifest.source.spec} has a label; an evaluation of graphs needs them."
            )
        known.append(labels)
    names, test_names = train.manifest.source.classes, test.manifest.source.classes
    if names and test_names and names != test_names:
        raise MinerError(f"The classes of the test images are others: {test_names[:10]}, not {names[:10]}.")
    if len(np.unique(known[0])) < 2:
        raise MinerError("All training images are of one class; classification needs at least two.")
    return known[0], known[1]
