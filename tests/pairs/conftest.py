"""Embeddings on disk without an encoder: any vectors as a finished `embeddings/` folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.artifacts.embeddings.images import METADATA_SCHEMA
from miner.artifacts.embeddings.store import metadata_path, vectors_path
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace


@pytest.fixture
def make_embeddings(tmp_path: Path) -> Callable[..., Workspace]:
    def make(
        vectors: np.ndarray,
        labels: list[int] | None = None,
        name: str = "w",
        hashes: list[str] | None = None,
        blocks: int | list[int] = 1,
        keep_pairs: bool = False,
    ) -> Workspace:
        """`blocks`: how many files, or the rows of each. `keep_pairs` leaves the pairs of an earlier call of that name."""
        workspace = Workspace(tmp_path / name)
        if not keep_pairs:
            shutil.rmtree(workspace.pairs, ignore_errors=True)
        folder = workspace.embeddings
        stage = Stage(folder, {"source": "made in a test", "vectors": vectors.tobytes().hex()[:64]})
        stage.begin(force=True)
        rows = [
            {
                "key": f"k{row:05d}",
                "path": f"k{row:05d}.png",
                "label": labels[row] if labels else None,
                "width": 8,
                "height": 8,
                "extension": "png",
                "bytes": 1,
                "sha256": hashes[row] if hashes else f"{row:064x}",
            }
            for row in range(len(vectors))
        ]
        files = []
        ends = blocks if isinstance(blocks, int) else np.cumsum(blocks)[:-1]
        parts = np.array_split(np.arange(len(vectors)), ends)
        for block, part in enumerate(parts):
            of_block = [vectors_path(folder, block), metadata_path(folder, block)]
            for file in of_block:
                file.parent.mkdir(parents=True, exist_ok=True)
            np.save(of_block[0], vectors[part])
            pq.write_table(pa.Table.from_pylist([rows[row] for row in part], schema=METADATA_SCHEMA), of_block[1])
            files += of_block
        record = {"blocks": len(parts), "count": len(vectors), "dim": vectors.shape[1], "dtype": vectors.dtype.name}
        source = {"spec": "made in a test", "images": len(vectors), "classes": None}
        stage.finish({**record, "source": source, "encoder": {"name": "none"}, "errors": {}}, files)
        return workspace

    return make
