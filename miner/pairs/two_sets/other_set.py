"""The set behind `--against`: another workspace, a source that is embedded for it, or vectors."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import ChosenVectors, FileVectors, VectorFile
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.sets import embed_set, encoding_of, is_workspace, refuse_other_encoders
from miner.engine import file_record
from miner.errors import MinerError, UsageError
from miner.pairs.options import PairsOptions

_VECTORS = (".npz", ".safetensors")  # what is a file of vectors and nothing else


@dataclass(frozen=True)
class VectorSet:
    """Vectors, and what their images are called.

    Attributes:
        name: a short name for people and for a folder.
        identity: changes when a vector or a key changes.
        labels: -1 where unknown; None where no image has one.
    """

    name: str
    identity: str
    vectors: FileVectors | ChosenVectors
    keys: pa.Array
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def of(cls, workspace: Workspace, name: str) -> "VectorSet":
        """The embedded images of a workspace."""
        store = EmbeddingStore(workspace)
        return cls(name, store.manifest.identity, store.stored, store.metadata["key"].combine_chunks(), store.labels)


def open_other(options: PairsOptions, workspace: Workspace, force: bool) -> tuple[VectorSet, list[str]]:
    """The set that --against names. A source is embedded as the images of the workspace were, below it.

    Returns:
        The set, and what was found out while it was embedded, in lines for the user.
    Raises:
        UsageError: its vectors cannot be compared with those of the workspace.
        MinerError: it can neither be opened nor embedded, or a file is damaged.
    """
    text, embeddings = str(options.against), EmbeddingsManifest.read(workspace)
    path = Path(text)
    if path.suffix == ".npy" and path.is_file():
        other = _vectors_of_file(path)
        if other.vectors.dim != embeddings.dim:
            raise UsageError(
                f"--against {text}: its vectors have {other.vectors.dim} dimensions, those here {embeddings.dim}. Cosines need "
                "vectors of one encoder."
            )
        return other, []
    opened, lines = (Workspace(path), []) if is_workspace(text) else _embedded(options, embeddings, workspace, force)
    refuse_other_encoders([str(workspace.root), text], [embeddings, EmbeddingsManifest.read(opened)])
    return VectorSet.of(opened, opened.root.resolve().name if is_workspace(text) else _short_name(text)), lines


def _embedded(
    options: PairsOptions, embeddings: EmbeddingsManifest, below: Workspace, force: bool
) -> tuple[Workspace, list[str]]:
    """Embed the source behind --against. With `force`, it is embedded anew if it is not as it was embedded."""
    text, how = str(options.against), encoding_of(embeddings)
    if text.endswith(_VECTORS):
        wanted = EmbedOptions.parse({"vectors": text})
    elif "encoder" not in how:
        raise UsageError(
            f"--against {text}: no encoder is known for the vectors of {below.root}, so this cannot be embedded. Name a workspace "
            "or a file of vectors."
        )
    else:
        machine = {"device": options.device, "engine_address": options.engine_address}
        wanted = EmbedOptions.parse({**how, "source": text, **machine})
    try:
        own, result = embed_set(wanted, below)
    except MinerError:
        if not force:
            raise
        own, result = embed_set(wanted, below, force=True)
    return own, result.lines if result.fresh else []


def _short_name(source: str) -> str:
    """The name of a source for people and for a folder."""
    return re.sub(r"[^\w.:-]+", "_", Path(source.rstrip("/")).stem).strip("._") or "other"


def _vectors_of_file(path: Path) -> VectorSet:
    """Rows of a .npy file, whose keys are their numbers.

    Raises:
        UsageError: it holds something else than rows of float16 or float32.
    """
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(f"--against {path}: this is no readable array ({error}).") from error
    if rows.ndim != 2 or rows.dtype.name not in ("float16", "float32") or not len(rows) or not rows.flags.c_contiguous:
        raise UsageError(
            f"--against {path}: vectors are an array (n, d) of float16 or float32 in C order, not {rows.dtype} {rows.shape}."
        )
    file = VectorFile(path, len(rows), rows.offset)
    keys = pa.array([f"{row:09d}" for row in range(len(rows))], pa.string())
    return VectorSet(
        path.stem, file_record(path)["sha256"], FileVectors((file,), rows.shape[1], rows.dtype), keys, None
    )
