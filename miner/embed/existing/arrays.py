"""Arrays of vectors in .npy, .npz and .safetensors files, read by blocks of rows."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from miner.errors import MinerError, UsageError

_BYTES = (2, 4, 8)  # of a number: float16, float32, float64
_TENSOR_TYPES = {"F16": np.float16, "BF16": np.float32, "F32": np.float32, "F64": np.float64}


class RowFile(Protocol):
    """Vectors in one file: (rows, dim) numbers of a floating type."""

    @property
    def path(self) -> Path: ...

    @property
    def rows(self) -> int: ...

    @property
    def dim(self) -> int: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        """Rows [start, stop). Blocks are fastest in their order."""
        ...


@dataclass(frozen=True)
class _StoredArray:
    """Where an array is, and what it holds."""

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        return self.shape[0]

    @property
    def dim(self) -> int:
        return self.shape[1]


@dataclass(frozen=True)
class ArrayFile(_StoredArray):
    """An array in a file, mapped for each block, or `held` in memory where the file is packed."""

    in_columns: bool = False
    offset: int = 0
    held: NDArray[Any] | None = None

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        if self.held is not None:
            return self.held[start:stop]
        # Mapped anew for each block: mapped pages count as memory of the process.
        order: Any = "F" if self.in_columns else "C"
        return np.array(np.memmap(self.path, self.dtype, "r", self.offset, self.shape, order)[start:stop])


@dataclass(frozen=True)
class TensorFile(_StoredArray):
    """A tensor in a file of safetensors."""

    name: str

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        from safetensors import safe_open

        with safe_open(self.path, framework="pt") as tensors:
            part = tensors.get_slice(self.name)[start:stop]
        rows: NDArray[np.floating] = (part.float() if part.dtype.itemsize == 2 else part).numpy()
        return rows.astype(self.dtype, copy=False)


def read_npy(path: Path) -> ArrayFile:
    """The array in a .npy file.

    Raises:
        MinerError: it holds no vectors.
    """
    with path.open("rb") as stream:
        found = ArrayFile(path, *_header(stream), stream.tell())
    if path.stat().st_size < found.offset + found.dtype.itemsize * int(np.prod(found.shape)):
        raise ValueError("the file ends early")
    if not are_vectors(found):
        raise MinerError(f"{path} holds {described(found)}. {EXPECTED}")
    return found


def read_npz(path: Path, name: str | None) -> ArrayFile:
    """An array in a .npz file: that of a name, or the only one that holds vectors."""
    with zipfile.ZipFile(path) as archive:
        arrays = {}
        for info in archive.infolist():
            with archive.open(info) as stream:
                header = _header(stream)
                size = stream.tell()
            arrays[info.filename.removesuffix(".npy")] = ArrayFile(path, *header, _start(path, info) + size), info
        chosen = chosen_array(path, {key: array for key, (array, _) in arrays.items()}, name)
        array, info = arrays[chosen]
        if info.compress_type == zipfile.ZIP_STORED:
            return array
        with np.load(path, allow_pickle=False) as unpacked:
            return ArrayFile(path, array.dtype, array.shape, held=unpacked[chosen])


def read_safetensors(path: Path, name: str | None) -> TensorFile:
    """A tensor in a .safetensors file: that of a name, or the only one that holds vectors."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  -- it is no mapping
        tensors = {
            key: TensorFile(path, np.dtype(_TENSOR_TYPES.get(part.get_dtype(), np.int64)), tuple(part.get_shape()), key)
            for key, part in slices.items()
        }
    return tensors[chosen_array(path, tensors, name)]


EXPECTED = "Vectors are numbers of float16, float32 or float64 in an array (rows, dimensions)."


def are_vectors(array: ArrayFile | TensorFile) -> bool:
    """Whether it is an array (n, d) of a floating type."""
    return len(array.shape) == 2 and 0 not in array.shape and array.dtype.kind == "f" and array.dtype.itemsize in _BYTES


def described(array: ArrayFile | TensorFile) -> str:
    """Type and shape, for people."""
    kind = "Python objects" if array.dtype.hasobject else array.dtype.name
    return f"{kind} ({', '.join(map(str, array.shape))})"


def chosen_array(path: Path, arrays: Mapping[str, ArrayFile | TensorFile], name: str | None) -> str:
    """The name of the array that is meant.

    Raises:
        UsageError: there is none of that name, or there are several, or none holds vectors.
    """
    fitting = [key for key, array in arrays.items() if are_vectors(array)]
    if name in fitting or (name is None and len(fitting) == 1):
        return name or fitting[0]
    listed = ", ".join(f"{key}: {described(array)}" for key, array in list(arrays.items())[:10]) or "nothing"
    if name is not None:
        raise UsageError(f"{path} has no vectors called {name!r} (--vector-column). It holds {listed}. {EXPECTED}")
    if not fitting:
        raise UsageError(f"{path} holds no vectors, but {listed}. {EXPECTED}")
    raise UsageError(f"{path} holds several arrays of vectors: {listed}. Name one with --vector-column {fitting[0]}.")


def _header(stream: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Type, shape, and whether the array is stored by columns; the stream stands at its first number then."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, in_columns, dtype = read(stream)
    return dtype, shape, in_columns


def _start(path: Path, info: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin. Its name and its extra field there may be longer than in the directory."""
    with path.open("rb") as stream:
        stream.seek(info.header_offset + 26)
        name, extra = np.frombuffer(stream.read(4), "<u2").tolist()
    return info.header_offset + 30 + int(name) + int(extra)
