"""Records of files: size in bytes, sha256, and `blocks`, which tell where a damaged copy first differs.

`blocks` joins, for each block, the first eight hex digits of the sha256 of everything up to the end of that block. Two files
agree up to the first block whose digits differ. One pass over the bytes gives the whole record.
"""

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from miner.engine.remote import AnyPath

_SMALLEST_BLOCK_BYTES = 4096
_MOST_BLOCKS = 256
_DIGITS = 8
_CHUNK_BYTES = 1 << 20
_CHUNKS_AHEAD = 4


def block_bytes(size_bytes: int) -> int:
    """Bytes of a block in a file of that size: the least power of two from 4 KiB on that gives at most 256 blocks."""
    length = _SMALLEST_BLOCK_BYTES
    while length * _MOST_BLOCKS < size_bytes:
        length *= 2
    return length


class RunningDigest:
    """The record of a file whose bytes come piece by piece. The size of the whole file decides the length of a block."""

    def __init__(self, size_bytes: int) -> None:
        self._block = block_bytes(size_bytes)
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._blocks: list[str] = []

    def update(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while len(view):
            part = view[: self._block - self._bytes % self._block]
            self._digest.update(part)
            self._bytes += len(part)
            if self._bytes % self._block == 0:
                self._blocks.append(self._digest.hexdigest()[:_DIGITS])
            view = view[len(part) :]

    def record(self) -> dict[str, Any]:
        """The record of the bytes so far: `bytes`, `sha256` and `blocks`."""
        sha256 = self._digest.hexdigest()
        rest = [sha256[:_DIGITS]] if self._bytes % self._block else []
        return {"bytes": self._bytes, "sha256": sha256, "blocks": "".join([*self._blocks, *rest])}


def file_record(path: AnyPath, size_bytes: int | None = None) -> dict[str, Any]:
    """The record of a file. Its whole size in bytes is given if the file may be a damaged copy."""
    with path.open("rb") as stream:
        found_bytes = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        digest = RunningDigest(found_bytes if size_bytes is None else size_bytes)
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.record()


def first_difference(expected: dict[str, Any], found: dict[str, Any]) -> range | None:
    """The bytes of the first block in which a copy differs from the whole file; None if `expected` has no blocks.

    The record of the copy (`found`) was made with the size of the whole file.
    """
    blocks, other, size = str(expected.get("blocks", "")), str(found["blocks"]), int(expected["bytes"])
    length = block_bytes(size)
    for start in range(0, len(blocks), _DIGITS):
        if blocks[start : start + _DIGITS] != other[start : start + _DIGITS]:
            first = start // _DIGITS * length
            return range(first, min(first + length, size))
    return None


class DigestedFile:
    """A file that is written and digested in a thread of its own; use as a context manager.

    `record` is the record of the file once the context has ended; `size_bytes` is the size that the file must have then.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.record: dict[str, Any] = {}
        self._path, self._digest, self._size_bytes = path, RunningDigest(size_bytes), size_bytes
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._writes: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._stream: IO[bytes] = self._path.open("wb", buffering=0)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        return self

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting >= _CHUNK_BYTES:
            self._flush()

    def _flush(self) -> None:
        if len(self._writes) >= _CHUNKS_AHEAD:
            self._writes.pop(0).result()
        self._writes.append(self._thread.submit(self._put, b"".join(self._pieces)))
        self._pieces, self._waiting = [], 0

    def _put(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        view = memoryview(chunk)
        while len(view):
            view = view[self._stream.write(view) :]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
                for write in self._writes:
                    write.result()
                self.record = self._digest.record()
                if self.record["bytes"] != self._size_bytes:
                    raise ValueError(
                        f"{self._path} has {self.record['bytes']} bytes, not {self._size_bytes} as planned"
                    )
        finally:
            self._thread.shutdown(cancel_futures=True)
            self._stream.close()
