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
    def in_memory(self) -> bool: ...

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        """Rows [start, stop). The caller must not write to them."""
        ...

    def take(self, rows: Rows) -> NDArray[np.floating]:
        """Rows by number, in the order given."""
        ...


class MemoryVectors:
    """Vectors of arrays (n, dim) in memory or mapped from files, one array after another."""

    in_memory: ClassVar = True

    def __init__(self, *arrays: NDArray[np.floating]) -> None:
        self.arrays = arrays
        self.dim = int(arrays[0].shape[1])
        self.dtype = arrays[0].dtype

    def __len__(self) -> int:
        return sum(map(len, self.arrays))

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        """Rows [start, stop), as a view where they lie in one array."""
        firsts = np.cumsum([0, *map(len, self.arrays)])
        parts = [
            part
            for array, first in zip(self.arrays, firsts, strict=False)
            if len(part := array[max(start - first, 0) : max(stop - first, 0)])
        ]
        return parts[0] if len(parts) == 1 else np.concatenate([self.arrays[0][:0], *parts])

    def take(self, rows: Rows) -> NDArray[np.floating]:
        if len(self.arrays) == 1:
            return self.arrays[0][rows]
        taken = np.empty((len(rows), self.dim), self.dtype)
        ends = np.cumsum([len(array) for array in self.arrays])
        numbers = np.searchsorted(ends, rows, side="right")
        for number in np.unique(numbers):
            here = numbers == number
            taken[here] = self.arrays[number][rows[here] - (ends[number] - len(self.arrays[number]))]
        return taken


@dataclass(frozen=True)
class VectorFile:
    """A file with rows in C order after a header of `header_bytes`."""

    path: Path
    rows: int
    header_bytes: int


@dataclass(frozen=True)
class FileVectors:
    """Vectors in files, one file after another. Files are read, not mapped: mapped pages count as memory of the process."""

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
                part = rows[low - start : high - start]
                with file.path.open("rb") as stream:
                    stream.seek(file.header_bytes + (low - first) * self.dim * self.dtype.itemsize)
                    if stream.readinto(part.view(np.uint8).data) != part.nbytes:
                        raise OSError(f"{file.path} ends early")
            first += file.rows
        return rows

    def take(self, rows: Rows) -> NDArray[np.floating]:
        taken = np.empty((len(rows), self.dim), self.dtype)
        row_bytes = self.dim * self.dtype.itemsize
        ends = np.cumsum([file.rows for file in self.files])
        numbers = np.searchsorted(ends, rows, side="right")
        for number in np.unique(numbers):
            file = self.files[number]
            first = int(ends[number]) - file.rows
            with file.path.open("rb", buffering=0) as stream:
                for place in np.flatnonzero(numbers == number):
                    offset = file.header_bytes + (int(rows[place]) - first) * row_bytes
                    if os.preadv(stream.fileno(), [taken[place]], offset) != row_bytes:
                        raise OSError(f"{file.path} ends early")
        return taken

    def mapped(self) -> MemoryVectors:
        """The vectors as mapped files: the operating system reads a page into memory when the page is used."""
        shapes = [(file, (file.rows, self.dim)) for file in self.files if file.rows]
        return MemoryVectors(
            *(np.memmap(file.path, self.dtype, "c", file.header_bytes, shape) for file, shape in shapes)
        )


class ChosenVectors:
    """The vectors in some rows of other vectors."""

    def __init__(self, whole: Vectors, rows: Rows) -> None:
        self.whole, self.rows = whole, rows
        self.dim, self.dtype, self.in_memory = whole.dim, whole.dtype, whole.in_memory

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        return self.whole.take(self.rows[start:stop])

    def take(self, rows: Rows) -> NDArray[np.floating]:
        return self.whole.take(self.rows[rows])

    def mapped(self) -> "ChosenVectors":
        """The same rows of mapped files, or of vectors that are in memory already."""
        whole = self.whole.mapped() if isinstance(self.whole, FileVectors) else self.whole
        return ChosenVectors(whole, self.rows)


class JoinedVectors:
    """The vectors of two sets of one width, one set after the other; in float32 if their types differ."""

    def __init__(self, first: Vectors, second: Vectors) -> None:
        self.sets = first, second
        self.dim, self.dtype = first.dim, np.promote_types(first.dtype, second.dtype)
        self.in_memory = first.in_memory and second.in_memory

    def __len__(self) -> int:
        return sum(map(len, self.sets))

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        middle = len(self.sets[0])
        parts = [
            self.sets[0].read(min(start, middle), min(stop, middle)),
            self.sets[1].read(max(start - middle, 0), max(stop - middle, 0)),
        ]
        filled = [part for part in parts if len(part)] or parts[:1]
        return (filled[0] if len(filled) == 1 else np.concatenate(filled)).astype(self.dtype, copy=False)

    def take(self, rows: Rows) -> NDArray[np.floating]:
        middle = len(self.sets[0])
        taken = np.empty((len(rows), self.dim), self.dtype)
        first = rows < middle
        taken[first], taken[~first] = self.sets[0].take(rows[first]), self.sets[1].take(rows[~first] - middle)
        return taken


def blocks(count: int, rows: int) -> Sequence[tuple[int, int]]:
    """Intervals [start, stop) of at most `rows` rows that cover `count` rows."""
    return [(start, min(start + rows, count)) for start in range(0, count, rows)]
