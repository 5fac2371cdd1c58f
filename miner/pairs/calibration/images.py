"""The images that were embedded, read again from their source."""

from functools import cached_property

import pyarrow as pa
from PIL import Image

from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.verified import VerifiedSource
from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.source import Entry


class SourceImages:
    """The images of a table by key. The source is opened when the first of them is asked for.

    Args:
        table: with the `key` and the `sha256` of each image.
    """

    def __init__(self, source: SourceRecord, table: pa.Table) -> None:
        self.spec, self._record, self._table = source.spec, source, table

    @cached_property
    def _source(self) -> VerifiedSource:
        return VerifiedSource(self._record.open(), [self._table])

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The images that are still there, in the order of the source.

        Raises:
            MinerError: fewer than two of several are left.
        """
        keys = set(self._table["key"].to_pylist())
        entries = {entry.key: entry for entry in self._source.entries if entry.key in keys}
        if len(entries) < min(2, len(keys)):
            raise MinerError(f"The images of {self.spec} are gone since they were embedded. Embed again with --force.")
        return entries

    def image(self, key: str) -> Image.Image:
        """One image, RGB.

        Raises:
            MinerError: it has changed or is gone since it was embedded.
        """
        entry = self.entries.get(key)
        if entry is None:
            raise MinerError(f"The image {key} of {self.spec} is gone since it was embedded. Embed again with --force.")
        try:
            return decode_image(self._source.read(entry))
        except (OSError, UnreadableImageError) as error:
            raise MinerError(
                f"The image {entry.path} of {self.spec} has changed since it was embedded ({error})."
            ) from error


class ReadImages(SourceImages):
    """The embedded images of a workspace."""

    def __init__(self, store: EmbeddingStore) -> None:
        super().__init__(store.manifest.source, store.metadata)
        self.store = store
