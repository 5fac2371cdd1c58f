"""Tar files whose bytes depend on the names and contents of their members only."""

import tarfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Sizes = TypeVar("_Sizes", int, "NDArray[np.int64]")

_MODE = 0o644
_BLOCK = 512
_LONGEST_NAME = 100
_LARGEST_BYTES = 8 << 30
# What stands behind the name and before the size, and behind the checksum, of a plain file.
_BEFORE_SIZE = b"%07o\0" % _MODE + b"0000000\0" * 2
_AFTER_SIZE = b"00000000000\0"
_AFTER_CHECKSUM = (b"0" + bytes(100) + b"ustar\x0000").ljust(_BLOCK - 156, b"\0")
_FIXED_SUM = sum(_BEFORE_SIZE) + sum(_AFTER_SIZE) + sum(b" " * 8) + sum(_AFTER_CHECKSUM)


class Output(Protocol):
    """Anything that bytes can be written to."""

    def write(self, data: bytes, /) -> object: ...


def write_tar(stream: Output, members: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, content) members in the given order as USTAR, with fixed time, mode and owner."""
    written = 0
    for name, content in members:
        size = len(content)
        header, padding = tar_header(name, size), bytes(-size % _BLOCK)
        stream.write(b"".join((header, content, padding)))
        written += _BLOCK + size + len(padding)
    stream.write(bytes(tar_bytes(written) - written))


def tar_header(name: str, size_bytes: int) -> bytes:
    """The header of a plain file: 512 bytes.

    Raises:
        ValueError: USTAR has no room for this name or size.
    """
    encoded = name.encode() if name.isascii() else name.encode("utf-8", "surrogateescape")
    if size_bytes >= _LARGEST_BYTES:
        raise ValueError(f"{name}: {size_bytes} bytes are too many for a member of a USTAR archive")
    if len(encoded) > _LONGEST_NAME:
        header = tarfile.TarInfo(name)
        header.size, header.mode = size_bytes, _MODE
        return header.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    size = b"%011o\0" % size_bytes
    checksum = b"%06o\0 " % (_FIXED_SUM + sum(encoded) + sum(size))
    return encoded.ljust(100, b"\0") + _BEFORE_SIZE + size + _AFTER_SIZE + checksum + _AFTER_CHECKSUM


def tar_member_bytes(size_bytes: _Sizes) -> _Sizes:
    """Bytes of a member in a tar by the bytes of its content: its header and its padded content."""
    return _BLOCK + -(-size_bytes // _BLOCK) * _BLOCK


def tar_bytes(members_bytes: int) -> int:
    """Bytes of a tar by the bytes of its members: two empty blocks follow, and the size is a multiple of 10,240 bytes."""
    return -(-(members_bytes + 2 * _BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
