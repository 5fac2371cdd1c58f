"""The folder as clip-retrieval's tools read it: files by name, array headers for the counts, metadata line by line."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed


def encoded_alone(image: Path, scratch: Path) -> np.ndarray:
    """The vector of one image, embedded again beside a copy of itself."""
    source = scratch / "source"
    source.mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (source / name).write_bytes(image.read_bytes())
    workspace = Workspace(scratch / "w")
    embed(EmbedOptions(source=str(source)), workspace)
    return np.load(workspace.embeddings / "img_emb" / "img_emb_00000.npy")[0]


def test_arrays_and_metadata_line_up_when_opened_apart(make_photos, tmp_path) -> None:
    folder = make_photos(count=22, classes=3)
    (folder / "class0" / "003.jpg").write_bytes(b"broken")
    workspace = Workspace(tmp_path / "w")
    embed(EmbedOptions(source=str(folder), block_size=6), workspace)
    arrays = sorted((workspace.embeddings / "img_emb").iterdir())
    tables = sorted((workspace.embeddings / "metadata").iterdir())
    assert [path.name for path in arrays] == [f"img_emb_{n:05d}.npy" for n in range(4)]
    assert [path.name for path in tables] == [f"metadata_{n:05d}.parquet" for n in range(4)]
    for path, table in zip(arrays, tables, strict=True):
        with path.open("rb") as stream:
            assert np.lib.format.read_magic(stream) == (1, 0)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
            offset = stream.tell()
        assert (fortran, dtype, shape[1]) == (False, np.float16, 1280)
        assert shape[0] == pq.read_metadata(table).num_rows
        raw = np.frombuffer(path.read_bytes()[offset:], np.float16).reshape(shape)
        first = folder / pq.read_table(table)["path"][0].as_py()
        again = encoded_alone(first, tmp_path / path.stem)
        assert float(raw[0].astype(np.float32) @ again.astype(np.float32)) > 0.999
