"""Stored vectors, read by blocks of rows: from memory, or from disk so that memory does not grow with their number."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Vectors(Protocol):
    """(n, dim) vectors of a floating dtype."""

    @property
    def dim(self) -> int: ...

    @property
    def dtype(self) -> np.dtype[np.floating]: ...

    @property
    def in_memory(self) -> bool:
        """Whether the vectors lie in memory."""
        ...

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        """Rows [start, stop). Not to be written to."""
        ...

    def take(self, rows: Rows) -> NDArray[np.floating]:
        """Rows by number, in the order given."""
        ...


@dataclass(frozen=True)
class MemoryVectors:
    """Vectors of an array."""

    array: NDArray[np.floating]
    in_memory: ClassVar = True

    @property
    def dim(self) -> int:
        return int(self.array.shape[1])

    @property
    def dtype(self) -> np.dtype[np.floating]:
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.array)

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        return self.array[start:stop]

    def take(self, rows: Rows) -> NDArray[np.floating]:
        return self.array[rows]


@dataclass(frozen=True)
class VectorFile:
    """Rows of a file in C order, after a header.

    Attributes:
        path: the file.
        rows: how many.
        header_bytes: where the first begins.
    """

    path: Path
    rows: int
    header_bytes: int


@dataclass(frozen=True)
class FileVectors:
    """Vectors in files, one after the other. Read, not mapped: mapped pages would count as memory of the process."""

    files: tuple[VectorFile, ...]
    dim: int
    dtype: np.dtype[np.floating]
    in_memory: ClassVar = False

    def __len__(self) -> int:
        return sum(file.rows for file in self.files)

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        rows = np.empty((max(stop - start, 0), self.dim), self.dtype)
        first = 0
        for file in self.files:
            low, high = max(start, first), min(stop, first + file.rows)
            if low < high:
                _fill(rows[low - start : high - start], file, low - first)
            first += file.rows
        return rows

    def take(self, rows: Rows) -> NDArray[np.floating]:
        taken = np.empty((len(rows), self.dim), self.dtype)
        row_bytes = self.dim * self.dtype.itemsize
        ends = np.cumsum([file.rows for file in self.files])
        places = np.searchsorted(ends, rows, side="right")
        for number in np.unique(places):
            file = self.files[number]
            first = int(ends[number]) - file.rows
            with file.path.open("rb", buffering=0) as stream:
                for place in np.flatnonzero(places == number):
                    offset = file.header_bytes + (int(rows[place]) - first) * row_bytes
                    if os.preadv(stream.fileno(), [taken[place]], offset) != row_bytes:
                        raise OSError(f"{file.path} ends early")
        return taken

    def mapped(self) -> "MappedVectors":
        """The same, as memory that the operating system fills when it is looked at."""
        arrays = tuple(
            np.memmap(file.path, self.dtype, "c", file.header_bytes, (file.rows, self.dim))
            for file in self.files
            if file.rows
        )
        return MappedVectors(arrays, self.dim, self.dtype)


@dataclass(frozen=True)
class MappedVectors:
    """Vectors of arrays, one after the other."""

    arrays: tuple[NDArray[np.floating], ...]
    dim: int
    dtype: np.dtype[np.floating]
    in_memory: ClassVar = True

    def __len__(self) -> int:
        return sum(map(len, self.arrays))

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        parts = []
        first = 0
        for array in self.arrays:
            part = array[max(start - first, 0) : max(stop - first, 0)]
            if len(part):
                parts.append(part)
            first += len(array)
        if len(parts) == 1:
            return parts[0]  # no copy
        return np.concatenate(parts) if parts else np.empty((0, self.dim), self.dtype)

    def take(self, rows: Rows) -> NDArray[np.floating]:
        taken = np.empty((len(rows), self.dim), self.dtype)
        ends = np.cumsum([len(array) for array in self.arrays])
        places = np.searchsorted(ends, rows, side="right")
        for number in np.unique(places):
            here = places == number
            taken[here] = self.arrays[number][rows[here] - (ends[number] - len(self.arrays[number]))]
        return taken


@dataclass(frozen=True)
class ChosenVectors:
    """Some rows of other vectors, by ascending number."""

    whole: Vectors
    rows: Rows

    @property
    def dim(self) -> int:
        return self.whole.dim

    @property
    def dtype(self) -> np.dtype[np.floating]:
        return self.whole.dtype

    @property
    def in_memory(self) -> bool:
        return self.whole.in_memory

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        return self.whole.take(self.rows[start:stop])

    def take(self, rows: Rows) -> NDArray[np.floating]:
        return self.whole.take(self.rows[rows])


def _fill(rows: NDArray[np.floating], file: VectorFile, start: int) -> None:
    """Read consecutive rows of a file."""
    with file.path.open("rb", buffering=0) as stream:
        stream.seek(file.header_bytes + start * rows.shape[1] * rows.itemsize)
        view = memoryview(rows.view(np.uint8).data).cast("B")
        done = 0
        while done < len(view):
            count = stream.readinto(view[done:])
            if not count:
                raise OSError(f"{file.path} ends early")
            done += count


def blocks(count: int, rows: int) -> Sequence[tuple[int, int]]:
    """[start, stop) of consecutive runs of so many rows."""
    return [(start, min(start + rows, count)) for start in range(0, count, rows)]
