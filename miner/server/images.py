"""Images for the browser: the original bytes where browsers can show them, else converted."""

import hashlib
import io
import threading
from collections.abc import Callable
from functools import partial

import pyarrow as pa

from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.leaks import SeveralSets
from miner.artifacts.manifests import ShardsManifest
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.source import Entry, Source

_LARGEST_BYTES, _LARGEST_SIDE = 3_000_000, 2048
_SMALL_BYTES, _SMALL_SIDE = 150_000, 512
_SHOWN_UNCHANGED = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


class ImageStore:
    """Images by row, from the source, or from the exported shards if the source has lost one.

    Args:
        source: of the embeddings.
        images: table with key, path and sha256, one row per image.
        small: whether the page shows many of them at once.
    """

    def __init__(
        self, workspace: Workspace, source: SourceRecord | SeveralSets, images: pa.Table, small: bool = False
    ) -> None:
        self._images = images
        self._limits = (_SMALL_BYTES, _SMALL_SIDE) if small else (_LARGEST_BYTES, _LARGEST_SIDE)
        self._sources = [_LazySource(source.open), _LazySource(partial(_exported, workspace))]

    def open(self) -> str | None:
        """Open the source before the first image is needed, which can take seconds. Returns the problem if this fails."""
        return self._sources[0].open()

    def read(self, row: int) -> tuple[bytes, str]:
        """Bytes that browsers can show, and their media type. Several threads may call this.

        Raises:
            FileNotFoundError: the image is gone or has changed since it was embedded.
        """
        key, sha256 = (self._images[name][row].as_py() for name in ("key", "sha256"))
        for source in self._sources:
            data = source.read(key)
            if data is not None and hashlib.sha256(data).hexdigest() == sha256:
                return for_browsers(data, *self._limits)
        raise FileNotFoundError(f"The image {self._images['path'][row]} is gone or has changed since it was embedded.")


def _exported(workspace: Workspace) -> Source:
    return ShardsManifest.read(workspace).image_source(workspace.shards)


class _LazySource:
    """A source that is opened when the first image is read."""

    def __init__(self, opener: Callable[[], Source]) -> None:
        self._opener, self._lock = opener, threading.Lock()
        self._source: Source | None = None
        self._entries: dict[str, Entry] | None = None
        self._problem: str | None = None

    def open(self) -> str | None:
        """Open the source once. Returns the problem if this fails."""
        with self._lock:
            if self._entries is None:
                self._entries = {}
                try:
                    self._source = self._opener()
                    self._entries = {entry.key: entry for entry in self._source.entries}
                except (OSError, MinerError) as error:
                    self._problem = str(error)
            return self._problem

    def read(self, key: str) -> bytes | None:
        """The bytes of an image; None if the source does not have them."""
        self.open()
        entry = self._entries.get(key) if self._entries else None
        if entry is None or self._source is None:
            return None
        try:
            return self._source.read(entry)
        except (OSError, MinerError):
            return None


def for_browsers(
    data: bytes, largest_bytes: int = _LARGEST_BYTES, largest_side: int = _LARGEST_SIDE
) -> tuple[bytes, str]:
    """Bytes and media type: JPEG and PNG of moderate size unchanged, other images as PNG, large ones as a smaller JPEG.

    Images are decoded as for the encoder.

    Raises:
        FileNotFoundError: the bytes are no readable image.
    """
    kind = next((kind for start, kind in _SHOWN_UNCHANGED.items() if data.startswith(start)), None)
    if kind and len(data) <= largest_bytes:
        return data, kind
    try:
        image = decode_image(data)
    except UnreadableImageError as error:
        raise FileNotFoundError(str(error)) from error
    stream = io.BytesIO()
    if max(image.size) > largest_side or image.width * image.height * 3 > largest_bytes:
        image.thumbnail((largest_side, largest_side))
        image.save(stream, format="JPEG", quality=90)
        return stream.getvalue(), "image/jpeg"
    image.save(stream, format="PNG")
    return stream.getvalue(), "image/png"
