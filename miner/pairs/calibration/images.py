"""The images that were embedded, read again from their source."""

from functools import cached_property

from PIL import Image

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.verified import VerifiedSource
from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.source import Entry


class ReadImages:
    """The embedded images by key. The source is opened when the first of them is asked for."""

    def __init__(self, store: EmbeddingStore) -> None:
        self.store, self.spec = store, store.manifest.source.spec

    @cached_property
    def _source(self) -> VerifiedSource:
        return VerifiedSource(self.store.manifest.source.open(), [self.store.metadata])

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The images that are still there, in the order of the source.

        Raises:
            MinerError: fewer than two of several are left.
        """
        keys = set(self.store.keys)
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
