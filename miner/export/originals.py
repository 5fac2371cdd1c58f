"""The original bytes of embedded images, checked against the sha256 of the metadata table."""

import copy
import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from miner.artifacts.embeddings.images import EmbeddedImage, embedded_images
from miner.errors import MinerError
from miner.source import Entry, Source, open_source

if TYPE_CHECKING:
    import pyarrow as pa


class Original(NamedTuple):
    """An embedded image, and the entry of the source that holds its bytes."""

    entry: Entry
    image: EmbeddedImage


def open_originals(spec: str, metadata: "pa.Table") -> tuple[Source, list[Original]]:
    """The source, ready to be sent to another process, and the images by row.

    Raises:
        MinerError: an image is no longer in the source.
    """
    source = open_source(spec)
    entries = {entry.key: entry for entry in source.entries}
    originals = []
    for image in embedded_images(metadata):
        if image.key not in entries:
            raise MinerError(f"The image {image.path} of {spec} is gone since it was embedded.")
        originals.append(Original(entries[image.key], image))
    reader: Any = copy.copy(source)
    reader.entries = []  # a worker gets the entries of its own shard
    return reader, originals


def read_original(source: Source, original: Original) -> bytes:
    """The bytes of an image.

    Raises:
        MinerError: the image is gone, or has changed since it was embedded.
    """
    try:
        data = source.read(original.entry)
    except OSError as error:
        raise MinerError(
            f"The image {original.entry.path} of {source.spec} is gone since it was embedded ({error})."
        ) from error
    if hashlib.sha256(data).hexdigest() != original.image.sha256:
        raise MinerError(
            f"The image {original.entry.path} of {source.spec} has changed since it was embedded. "
            "Run `miner embed --force` and `miner pairs --force` again."
        )
    return data
