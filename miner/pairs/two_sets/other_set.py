"""The set behind `--against`: another workspace, or a file of vectors."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import FileVectors, VectorFile
from miner.artifacts.workspace import Workspace
from miner.engine import file_record
from miner.errors import UsageError


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
    vectors: FileVectors
    keys: pa.Array
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def of(cls, workspace: Workspace) -> "VectorSet":
        """The embedded images of a workspace."""
        store = EmbeddingStore(workspace)
        keys = store.metadata["key"].combine_chunks()
        return cls(workspace.root.resolve().name, store.manifest.identity, store.stored, keys, store.labels)


def open_other(text: str, embeddings: EmbeddingsManifest) -> VectorSet:
    """The set that --against names.

    Args:
        embeddings: of the workspace; the vectors of the other set must come from the same encoder.
    Raises:
        UsageError: it is neither a workspace nor a file of vectors, or its vectors cannot be compared.
        MinerError: the workspace has no embeddings, or a file is damaged.
    """
    path = Path(text)
    if path.suffix == ".npy" and path.is_file():
        other = _vectors_of_file(path)
    elif (path / "embeddings").is_dir():
        workspace = Workspace(path)
        _check_encoder(text, embeddings, EmbeddingsManifest.read(workspace))
        other = VectorSet.of(workspace)
    else:
        raise UsageError(
            f"--against {text}: this is no workspace with embeddings, and no .npy file of vectors. Embed the images with the same "
            f"encoder first: `{_embed_command(text, embeddings)}`, then give --against {_workspace_for(text)}."
        )
    if other.vectors.dim != embeddings.dim:
        raise UsageError(
            f"--against {text}: its vectors have {other.vectors.dim} dimensions, those here {embeddings.dim}. Cosines need vectors "
            "of one encoder."
        )
    return other


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


def _check_encoder(text: str, here: EmbeddingsManifest, there: EmbeddingsManifest) -> None:
    """Refuse vectors of another encoder.

    Raises:
        UsageError: they are.
    """
    if here.request.vectors_files or there.request.vectors_files:
        return  # nobody knows what made vectors that existed already
    one, other = (_deciding(embeddings) for embeddings in (here, there))
    if one == other and (here.identity == there.identity or "refined" not in here.encoder.name.split()):
        return
    name, their_name = here.encoder.name, there.encoder.name
    difference = (
        f"{their_name}, those here by {name}" if name != their_name else f"{name} with other weights or settings"
    )
    raise UsageError(
        f"--against {text}: its vectors were made by {difference}. Cosines between two encoders mean nothing. Embed the images "
        f"with the encoder of this workspace: `{_embed_command(there.source.spec, here)}`."
    )


def _deciding(embeddings: EmbeddingsManifest) -> dict[str, object]:
    """What of an encoder decides the vectors. A name may be a path, so it counts only where the weights have no checksum."""
    record = embeddings.record["encoder"]
    passed_over = ("licence", "labels_seen", *(["name"] if record.get("weights_sha256") else []))
    return {name: value for name, value in record.items() if name not in passed_over}


def _embed_command(source: str, embeddings: EmbeddingsManifest) -> str:
    """The command that embeds a source as a workspace is embedded."""
    asked, words = embeddings.asked, ["miner", "embed", source]
    for name, default in (("encoder", None), ("layer", "backbone"), ("pool", "auto")):
        if asked.get(name, default) != default:
            words += [f"--{name}", str(asked[name])]
    return shlex.join([*words, "-w", _workspace_for(source)])


def _workspace_for(source: str) -> str:
    return str(Path("datasets_out") / (Path(source.rstrip("/")).stem or "other"))
