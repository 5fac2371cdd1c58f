"""Vectors and keys that are in memory, saved in a workspace so that `miner embed --vectors` reads them."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from miner.artifacts.npy import save_array
from miner.artifacts.parquet import save_table
from miner.artifacts.workspace import GIVEN
from miner.engine import committed


def saved_vectors(root: Path, vectors: Any, keys: Any) -> dict[str, Any]:
    """The options `vectors` and `keys` as paths; arrays and lists are written to the files `GIVEN`."""
    return {"vectors": _path(vectors, root, _save_array), "keys": _path(keys, root, _save_names)}


def _path(value: Any, root: Path, save: Any) -> Any:
    return value if value is None or isinstance(value, str | os.PathLike) else save(root, value)


def _save_array(root: Path, vectors: Any) -> Path:
    from miner.api.arrays import stored_rows

    (array,) = stored_rows(vectors, "vectors").arrays
    with committed(root / GIVEN[0]) as partial:
        save_array(partial, array)
    return root / GIVEN[0]


def _save_names(root: Path, keys: Any) -> Path:
    with committed(root / GIVEN[1]) as partial:
        save_table(pa.table({"key": pa.array([str(key) for key in keys], pa.string())}), partial)
    return root / GIVEN[1]
