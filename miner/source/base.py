"""What a source is: entries in a fixed order, and their bytes on demand."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from miner.engine.explain import explained, one_line
from miner.engine.records import fingerprint

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "ppm", "pgm", "bmp", "gif", "tif", "tiff")
MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a source.

    Attributes:
        key: stable name, unique in the source, of at most 64 characters from A-Z a-z 0-9 _ -.
        path: where it is, for people: the path below the source, or SHARD/MEMBER.
        extension: of the original file, lower case, without the dot.
        size_bytes: of the encoded image; the mean of its row group in Parquet, which states no more.
        label: class index, if known.
        locator: how the source finds the bytes; opaque to everyone else.
    """

    key: str
    path: str
    extension: str
    size_bytes: int
    label: int | None
    locator: Any = field(repr=False)


class Source(Protocol):
    """An ordered collection of encoded images.

    Attributes:
        spec: what the user typed.
        classes: class names by label index, if there are labels.
        entries: all images, in an order that depends on nothing but the content.
    """

    spec: str
    classes: list[str] | None

    @property
    def entries(self) -> Sequence[Entry]: ...

    def read(self, entry: Entry) -> bytes:
        """The encoded bytes of an image. May be called from several threads.

        Raises:
            OSError: the file is gone or unreadable.
        """
        ...


def source_fingerprint(entries: Sequence[Entry]) -> str:
    """Changes when an image is added, removed, renamed, relabelled, or gets another size in bytes."""
    return fingerprint([[entry.key, entry.path, entry.size_bytes, entry.label] for entry in entries])


def check_size(size_bytes: int) -> None:
    """Refuse to read what no image can be, before room is made for it.

    Raises:
        OSError: it is larger than `MAX_FILE_BYTES`.
    """
    if size_bytes > MAX_FILE_BYTES:
        raise OSError(f"file larger than {MAX_FILE_BYTES >> 20} MiB")


def as_os_error(where: str) -> AbstractContextManager[None]:
    """Turn whatever a file system or a format library raises into OSError, so that one bad image stays one bad image."""
    return explained(lambda error: OSError(f"{where}: {one_line(error, 160)}"), OSError)
