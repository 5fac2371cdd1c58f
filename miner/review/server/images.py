"""The images of pairs as a browser can show them: original bytes wherever it can."""

import hashlib
import io
import threading
from collections.abc import Callable

import pyarrow as pa

from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.source import Entry, Source, open_source
from miner.source.webdataset.shards import ShardSource

_LARGEST_BYTES = 3_000_000
_LARGEST_SIDE = 2048
_SHOWN_AS_THEY_ARE = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


class ImageStore:
    """Images by row, from the source or, where that has lost one, from the exported shards.

    Args:
        workspace: whose images they are.
        spec: of the source.
        images: key and sha256 by row.
    """

    def __init__(self, workspace: Workspace, spec: str, images: pa.Table) -> None:
        self._images = images
        shards = str(workspace.shards / "images-*.tar")
        self._places = [_LazySource(lambda: open_source(spec)), _LazySource(lambda: ShardSource(shards))]

    def open(self) -> str | None:
        """Open the source ahead of the first image, which can take seconds. Returns what is wrong with it, if anything."""
        return self._places[0].open()

    def read(self, row: int) -> tuple[bytes, str]:
        """Bytes that browsers show, and their media type. May be called from several threads.

        Raises:
            FileNotFoundError: the image is gone, or has changed since it was embedded.
        """
        key, sha256 = (self._images[name][row].as_py() for name in ("key", "sha256"))
        for place in self._places:
            data = place.read(key)
            if data is not None and hashlib.sha256(data).hexdigest() == sha256:
                return for_browsers(data)
        raise FileNotFoundError(key)


class _LazySource:
    """A source that is opened when it is first needed."""

    def __init__(self, opener: Callable[[], Source]) -> None:
        self._opener = opener
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._entries: dict[str, Entry] | None = None
        self._problem: str | None = None

    def open(self) -> str | None:
        """Open it once, and say why that failed."""
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
        """The bytes of an image, or None if they are not here."""
        self.open()
        entry = self._entries.get(key) if self._entries else None
        if entry is None or self._source is None:
            return None
        try:
            return self._source.read(entry)
        except (OSError, MinerError):
            return None


def for_browsers(data: bytes) -> tuple[bytes, str]:
    """JPEG and PNG of moderate size as they are; everything else decoded as the encoder saw it, as PNG or, if large, JPEG.

    Raises:
        FileNotFoundError: the bytes are no image any more.
    """
    kind = next((kind for start, kind in _SHOWN_AS_THEY_ARE.items() if data.startswith(start)), None)
    if kind and len(data) <= _LARGEST_BYTES:
        return data, kind
    try:
        image = decode_image(data)
    except UnreadableImageError as error:
        raise FileNotFoundError(str(error)) from error
    stream = io.BytesIO()
    if max(image.size) > _LARGEST_SIDE or image.width * image.height * 3 > _LARGEST_BYTES:
        image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
        image.save(stream, format="JPEG", quality=90)
        return stream.getvalue(), "image/jpeg"
    image.save(stream, format="PNG")
    return stream.getvalue(), "image/png"
