"""Tar files whose bytes depend on nothing but the names and contents that go in."""

import io
import tarfile
from collections.abc import Iterable
from typing import IO

_MODE = 0o644


def write_tar(stream: IO[bytes], members: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, content) members in the given order as USTAR, with fixed time, mode and owner."""
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size, header.mode, header.mtime = len(content), _MODE, 0
            tar.addfile(header, io.BytesIO(content))


def tar_member_bytes(size_bytes: int) -> int:
    """How much room a member of that content takes in a tar: its header and its padded content."""
    return 512 + -(-size_bytes // 512) * 512
