"""The members of a tar: names, offsets and sizes, from the headers alone."""

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

_LONGEST_HEADER_BYTES = 16 << 20
_BLOCK_BYTES = 512


class DamagedTarError(Exception):
    """A tar is damaged: the offset of the damage, and what it is."""


@dataclass(frozen=True, slots=True)
class TarMember:
    """A plain file in a tar.

    Attributes:
        name: the name as it stands in the tar; never used as a path.
        offset, size_bytes: the offset and size of the content.
        read: gives the content, or as many bytes of it as are asked for, until the next member is asked for.
    """

    name: str
    offset: int
    size_bytes: int
    read: Callable[..., bytes]


def tar_members(stream: IO[bytes]) -> Iterator[TarMember]:
    """Plain files of an uncompressed tar, in order, without links, devices and folders.

    `tarfile` takes damage in the middle of an archive for its end; this function raises.

    Raises:
        DamagedTarError: the archive is cut or damaged.
    """
    checked = _CheckedStream(stream)
    end = 0
    try:
        with tarfile.open(fileobj=checked, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
            while member := tar.next():
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
                if member.size < 0 or tar.offset <= member.offset:
                    raise tarfile.ReadError("a member of negative size")
                if member.isreg() and not member.issparse():
                    yield TarMember(member.name, member.offset_data, member.size, _reader(checked, member))
                end = tar.offset
            checked.seek(end)
            if any(checked.read(_BLOCK_BYTES)):
                raise tarfile.ReadError("no header where the next one should be")
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError) as error:
        raise DamagedTarError(f"{error or type(error).__name__} (at or after byte {end:,})") from error


def _reader(stream: "_CheckedStream", member: tarfile.TarInfo) -> Callable[..., bytes]:
    def read(most_bytes: int | None = None) -> bytes:
        stream.seek(member.offset_data)
        return stream.read(member.size if most_bytes is None else min(member.size, most_bytes))

    return read


class _CheckedStream(io.RawIOBase):
    """A file that refuses reads that are too large for a header. `tarfile` would take memory for a hostile size first."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._stream.read(size)
