"""Images as they were embedded: reading one that has changed since then is an error."""

import hashlib
from collections.abc import Iterable, Sequence

import pyarrow as pa

from miner.errors import MinerError
from miner.source import Entry, Source


class VerifiedSource:
    """A source whose bytes are checked against the sha256 of metadata tables.

    Args:
        source: opened anew.
        tables: with `key` and `sha256` of all images that will be read.
    """

    def __init__(self, source: Source, tables: Iterable[pa.Table]) -> None:
        self._source = source
        self.spec, self.classes, self.left_out = source.spec, source.classes, source.left_out
        self._sha256: dict[str, bytes] = {}
        for table in tables:
            sums = map(bytes.fromhex, table["sha256"].to_pylist())
            self._sha256 |= dict(zip(table["key"].to_pylist(), sums, strict=True))

    @property
    def entries(self) -> Sequence[Entry]:
        return self._source.entries

    def read(self, entry: Entry) -> bytes:
        """The encoded bytes of an image.

        Raises:
            OSError: the file is gone or unreadable.
            MinerError: the image has changed since it was embedded.
        """
        data = self._source.read(entry)
        check_unchanged(data, self._sha256[entry.key].hex(), entry.path, self.spec)
        return data


def check_unchanged(data: bytes, sha256: str, path: str, spec: str) -> None:
    """Compare the encoded bytes of an image of the source `spec` with the checksum of its embedding.

    Raises:
        MinerError: they differ.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise MinerError(
            f"The image {path} of {spec} has changed since it was embedded. "
            "Run `miner embed --force` and `miner pairs --force` again."
        )
