"""From what `--vectors` names to vectors: one file or many, in one of the usual layouts."""

import glob
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.embed.existing.arrays import RowFile, read_npy, read_npz, read_safetensors
from miner.embed.existing.columns import ColumnFile
from miner.engine import file_record, one_line, read_json
from miner.errors import MinerError, UsageError
from miner.source.foreign import foreign_file
from miner.source.listing import list_files, warn
from miner.source.splits import in_order, missing_files, one_split
from miner.text import counted

_TABLES = (".parquet", ".arrow")
_ENDINGS = (".npy", ".npz", ".safetensors", *_TABLES)
_KINDS = "Vectors are .npy, .npz, .safetensors, .parquet or .arrow files, or a folder of one of these kinds."
# Folders of clip-retrieval, and of `miner embed`.
_IMAGE_VECTORS, _METADATA = "img_emb", "metadata"


@dataclass(frozen=True)
class ExistingVectors:
    """Vectors in files, one file after another.

    Attributes:
        name: the last part of their path, for people.
        place: where they are, absolute.
        files: that hold them.
        beside: tables with a row for each vector, in the same order; for columns of tables these tables themselves.
    """

    name: str
    place: Path
    files: Sequence[RowFile]
    beside: Sequence[Path]

    def __len__(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def dim(self) -> int:
        return self.files[0].dim

    @cached_property
    def dtype(self) -> str:
        """float16 if all files hold that, or else float32."""
        return "float16" if all(file.dtype.itemsize == 2 for file in self.files) else "float32"

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        """Rows [start, stop), of a type that holds the numbers of all files."""
        parts, first = [], 0
        for file in self.files:
            low, high = max(start, first), min(stop, first + file.rows)
            if low < high:
                parts.append(file.read(low - first, high - first))
            first += file.rows
        return np.concatenate(parts)

    def fingerprints(self) -> dict[str, str]:
        """sha256 of each file, by its place in the order."""
        return {f"{number:05d}": file_record(file.path)["sha256"] for number, file in enumerate(self.files)}

    @cached_property
    def columns(self) -> pa.Schema:
        """The columns of the tables beside; none without tables."""
        return _rows_of_table(self.beside[0]).schema if self.beside else pa.schema([])

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Columns of the tables beside, a row for each vector."""
        return (
            pa.table({})
            if not columns
            else pa.concat_tables([_rows_of_table(path).table(columns) for path in self.beside])
        )


def open_vectors(spec: str, name: str | None) -> ExistingVectors:
    """The vectors that `--vectors` names.

    Args:
        spec: a file, a folder, or a pattern.
        name: of the array, or of the column; None for the only one.
    Raises:
        UsageError: there are no such files, they are of several kinds, or `name` has to be given.
        MinerError: a file is damaged or holds something else, or the files do not fit each other.
    """
    place, paths, beside = _files_of(spec)
    files = [_opened(path, name) for path in paths]
    if unlike := [file for file in files if file.dim != files[0].dim]:
        raise MinerError(
            f"{unlike[0].path} holds vectors of {unlike[0].dim} dimensions, and {files[0].path} of {files[0].dim}. Vectors of one "
            "encoder are of one length: name its files with a pattern."
        )
    vectors = ExistingVectors(place.name, place, files, beside)
    _check_tables(vectors)
    return vectors


def _files_of(spec: str) -> tuple[Path, list[Path], list[Path]]:
    """The absolute path, the files of vectors in their order, and the tables beside them."""
    if "://" in spec:
        raise UsageError(f"--vectors {spec}: vectors are read from a disk. Copy them here first, and name the copy.")
    path = Path(spec).expanduser()
    if path.is_dir():
        paths, beside = _in_folder(path)
    else:
        # `Path.glob` takes no absolute pattern.
        paths = [path] if path.is_file() else [*map(Path, glob.glob(str(path), recursive=True))]  # noqa: PTH207
        beside = []
        paths = [found for found in _in_order(paths) if found.is_file()]
    if not paths:
        raise UsageError(f"--vectors {spec}: there are no vectors. {_KINDS}")
    kinds = {found.suffix.lower() for found in paths}
    if len(kinds) > 1 or not kinds <= {*_ENDINGS}:
        named = f"files of several kinds ({', '.join(sorted(kinds))})" if len(kinds) > 1 else f"a {kinds.pop()} file"
        raise UsageError(f"--vectors {spec} names {named}. {_KINDS}")
    return path.resolve(), paths, beside or (paths if kinds <= {*_TABLES} else [])


def _in_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of vectors in a folder, and the tables beside them."""
    if (folder / "dataset_dict.json").exists():
        parts = sorted(path.parent.name for path in folder.glob("*/state.json"))
        raise UsageError(
            f"{folder} holds the parts {', '.join(parts)} of a data set. Name one: {folder / in_order(parts)[0]}."
        )
    if (state := read_json(folder / "state.json")) is not None and "_data_files" in state:
        return [folder / file["filename"] for file in state["_data_files"]], []
    if (folder / "embeddings" / _IMAGE_VECTORS).is_dir():
        folder = folder / "embeddings"  # a workspace of miner
    if (folder / _IMAGE_VECTORS).is_dir():
        tables = _in_order((folder / _METADATA).glob("*.parquet"))
        return _in_order((folder / _IMAGE_VECTORS).glob("*.npy")), tables
    names = [name for name in list_files(str(folder)) if Path(name).suffix.lower() in _ENDINGS]
    if not names:
        return [], []
    arrays = [name for name in names if not name.endswith(_TABLES)]
    chosen, left_out = one_split(str(folder), arrays or names)
    for sentence in (left_out, missing_files(chosen)):
        if sentence:
            warn(sentence)
    beside = [name for name in names if name.endswith(".parquet")] if arrays else []
    return _in_order(folder / name for name in chosen), _in_order(folder / name for name in beside)


def _in_order(paths: Any) -> list[Path]:
    """Sorted by name; numbers in names count as numbers, so that 2 comes before 10."""
    return sorted(
        paths, key=lambda path: [(part.isdigit(), int(part) if part.isdigit() else part) for part in _parts(path)]
    )


def _parts(path: Path) -> list[str]:
    return [part for part in re.split(r"([0-9]+)", path.as_posix()) if part]


def _opened(path: Path, name: str | None) -> RowFile:
    readers: dict[str, Callable[[], RowFile]] = {
        ".npy": partial(read_npy, path),
        ".npz": partial(read_npz, path, name),
        ".safetensors": partial(read_safetensors, path, name),
    }
    if path.suffix == ".npy" and name is not None:
        raise UsageError(f"--vector-column {name}: {path} holds one array without a name. Leave the option out.")
    try:
        return readers.get(path.suffix.lower(), partial(ColumnFile, path, name))()
    except MinerError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise MinerError(
            f"{path} cannot be read{foreign_file(str(path))}: {one_line(error, 160)}. Write it again, or name another file."
        ) from error


def _rows_of_table(path: Path) -> Any:
    from miner.embed.existing.columns import ArrowRows, ParquetRows

    return ArrowRows(path) if path.suffix == ".arrow" else ParquetRows(path)


def _check_tables(vectors: ExistingVectors) -> None:
    """Refuse tables that have other numbers of rows than the files of vectors.

    Raises:
        MinerError: they do.
    """
    rows = [_rows_of_table(path).rows for path in vectors.beside]
    if len(rows) == len(vectors.files):
        for path, count, file in zip(vectors.beside, rows, vectors.files, strict=True):
            if count != file.rows:
                raise MinerError(
                    f"{path} has {counted(count, 'row')}, and {file.path} {counted(file.rows, 'vector')}. They must agree."
                )
    elif rows and sum(rows) != len(vectors):
        raise MinerError(
            f"The {counted(len(rows), 'table')} beside the vectors have {counted(sum(rows), 'row')}, and there are "
            f"{counted(len(vectors), 'vector')}. They "
            "must agree."
        )
