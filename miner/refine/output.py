"""Refined vectors in the layout of `embeddings/`, row for row beside the metadata of the images."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import error_table
from miner.artifacts.embeddings.store import EmbeddingStore, metadata_path, vectors_path
from miner.engine import committed, write_bytes


def write_embeddings(folder: Path, vectors: NDArray[np.float32], store: EmbeddingStore) -> list[Path]:
    """Write vectors in blocks of the same sizes as in the store, its metadata, and an empty list of errors.

    Args:
        folder: of the new embeddings.
        vectors: unit rows, float32 (n, dim), in the order of the store.
        store: the embeddings that were refined.
    Returns:
        The files.
    """
    errors = folder / "errors.parquet"
    with committed(errors) as partial:
        pq.write_table(error_table([]), partial)
    files, start = [errors], 0
    for block in range(store.manifest.blocks):
        metadata = metadata_path(store.folder, block)
        stop = start + pq.read_metadata(metadata).num_rows
        with committed(vectors_path(folder, block)) as partial, partial.open("wb") as stream:
            np.save(stream, vectors[start:stop].astype(store.stored.dtype))
        write_bytes(metadata_path(folder, block), metadata.read_bytes())
        files += [vectors_path(folder, block), metadata_path(folder, block)]
        start = stop
    return files
