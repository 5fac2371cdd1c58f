"""A source of images: entries in a fixed order, and the bytes of each entry on demand."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from miner.engine import explained, fingerprint, one_line

MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a source.

    Attributes:
        key: name, unique in the source and stable, of at most 64 characters from A-Z a-z 0-9 _ -.
        path: for people: the path below the source, or SHARD/MEMBER.
        extension: the extension of the original file, lower case, without the dot.
        size_bytes: the size of the encoded image. Parquet does not state it; there it is the mean of the row group.
        label: class index, if it is known.
        locator: tells the source where the bytes are; for the source alone.
        version: the version of the file that holds the image, as in `FileFacts`; 0 if it is not known.
    """

    key: str
    path: str
    extension: str
    size_bytes: int
    label: int | None
    locator: Any = field(repr=False)
    version: int = 0


@dataclass(frozen=True)
class LeftOut:
    """What a source leaves out.

    Attributes:
        files: number of files, or samples of shards, that are of no kind of image known here, by ending.
        labels: number of labels that could not be used, by reason.
    """

    files: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)


class Source(Protocol):
    """An ordered collection of encoded images.

    Attributes:
        spec: its name; a path is absolute.
        classes: class names by label index, if there are labels.
        entries: all images, in an order that depends on the content alone.
        left_out: files and labels that it leaves out.
    """

    spec: str
    classes: list[str] | None
    left_out: LeftOut

    @property
    def entries(self) -> Sequence[Entry]: ...

    def read(self, entry: Entry) -> bytes:
        """The encoded bytes of an image. May be called from several threads.

        Raises:
            OSError: the file is gone or unreadable.
        """
        ...


@runtime_checkable
class SourceWithFields(Protocol):
    """A source that knows more of its images than their labels: the JSON of shards, the columns of Parquet files."""

    entries: Sequence[Entry]

    def fields(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Some fields of all images, in the order of the entries; None where an image has no value.

        Raises:
            MinerError: the source is gone or damaged.
        """
        ...


def source_fingerprint(entries: Sequence[Entry]) -> str:
    """A text that changes when an image is added, removed, renamed, relabelled, or changes its size in bytes."""
    return fingerprint([[entry.key, entry.path, entry.size_bytes, entry.label] for entry in entries])


def check_size(size_bytes: int) -> None:
    """Refuse a file that is too large for an image, before memory is taken.

    Raises:
        OSError: the file is larger than `MAX_FILE_BYTES`.
    """
    if size_bytes > MAX_FILE_BYTES:
        raise OSError(f"file larger than {MAX_FILE_BYTES >> 20} MiB")


def as_os_error(where: str) -> AbstractContextManager[None]:
    """Turn any exception of a file system or a format library into OSError, so that one bad image does not end a run."""
    return explained(lambda error: OSError(f"{where}: {one_line(error, 160)}"), OSError)
