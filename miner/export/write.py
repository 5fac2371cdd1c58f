"""Reading original images and writing one shard, in this process or another.

The bytes of an image are checked against the sha256 of the metadata table. The bytes of a shard depend on the arguments only.
"""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from miner.artifacts.embeddings.images import EmbeddedImage, embedded_images
from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.embeddings.verified import check_unchanged
from miner.engine import DigestedFile
from miner.engine.tar import write_tar
from miner.errors import MinerError
from miner.export.plan import JSON_BYTES
from miner.source import Entry, Source
from miner.source.keys import is_clean

_READ_AHEAD_BYTES = 256_000_000
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode

Member = tuple[str, bytes]


class Original(NamedTuple):
    """An embedded image, and the entry of the source that holds its bytes."""

    entry: Entry
    image: EmbeddedImage


def open_originals(record: SourceRecord, metadata: pa.Table) -> tuple[Source, list[Original]]:
    """The source, ready to be sent to another process, and the images by row.

    Raises:
        MinerError: an image is no longer in the source.
    """
    source = record.open()
    entries = {entry.key: entry for entry in source.entries}
    originals = []
    for image in embedded_images(metadata):
        if image.key not in entries:
            raise MinerError(
                f"The image {image.path} of {record.spec} is gone since it was embedded. If the images were moved, run "
                "`miner embed` with their new place: it encodes nothing again."
            )
        originals.append(Original(entries[image.key], image))
    reader: Any = copy.copy(source)
    reader.entries = []  # a worker gets the entries of its own shard
    return reader, originals


def read_original(source: Source, original: Original) -> bytes:
    """The bytes of an image.

    Raises:
        MinerError: the image is gone, or has changed since it was embedded.
    """
    path = original.entry.path
    try:
        data = source.read(original.entry)
    except OSError as error:
        raise MinerError(f"The image {path} of {source.spec} is gone since it was embedded ({error}).") from error
    check_unchanged(data, original.image.sha256, path, source.spec)
    return data


Originals = Sequence[Original] | Mapping[int, Original]


@dataclass(frozen=True)
class ImageShard:
    """Images of a source as samples KEY.EXTENSION, KEY.json.

    Attributes:
        originals: by row.
        rows: the rows of the images, in order.
        unlabelled: value of an unknown label.
    """

    source: Source
    originals: Originals
    rows: Rows
    size_bytes: int
    unlabelled: int | None

    def __call__(self, record: Path, shard: Path) -> None:
        """Write the shard and its file record."""
        _write(record, shard, self.size_bytes, self._members())

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "originals": {row: self.originals[row] for row in self.rows.tolist()}}

    def _members(self) -> Iterator[Member]:
        for row in self.rows.tolist():
            image = self.originals[row].image
            yield f"{image.key}.{image.extension}", read_original(self.source, self.originals[row])
            label = self.unlabelled if image.label is None else image.label
            yield f"{image.key}.json", image_record(image, label)


@dataclass(frozen=True)
class PairShard:
    """Pairs as samples PAIRKEY.a.EXTENSION, PAIRKEY.b.EXTENSION, PAIRKEY.json; by reference PAIRKEY.json alone.

    Attributes:
        originals: by row.
        pairs: pair_key, a and b (rows of the images), similarity; in order.
        unlabelled: value of an unknown label.
        shard_of: the image shard of each image, by row, to write pairs by reference; None to write their images.
    """

    source: Source
    originals: Originals
    pairs: pa.Table
    size_bytes: int
    unlabelled: int | None
    shard_of: Sequence[str] | Mapping[int, str] | None = None

    def __call__(self, record: Path, shard: Path) -> None:
        """Write the shard and its file record."""
        members = self._with_images() if self.shard_of is None else self._references(self.shard_of)
        _write(record, shard, self.size_bytes, members)

    def __getstate__(self) -> dict[str, Any]:
        rows, shard_of = self._rows(), self.shard_of
        names = None if shard_of is None else {row: shard_of[row] for row in rows}
        return {**vars(self), "originals": {row: self.originals[row] for row in rows}, "shard_of": names}

    def _with_images(self) -> Iterator[Member]:
        """Members part by part. Each image of a part is read once, in the order of the source, because a source may be slow."""
        for part in self._parts():
            content = {row: read_original(self.source, self.originals[row]) for row in part._rows()}
            for key, a, b, similarity in part._samples():
                yield f"{key}.a.{self.originals[a].image.extension}", content[a]
                yield f"{key}.b.{self.originals[b].image.extension}", content[b]
                yield f"{key}.json", json_member(self._record(a, b, similarity))

    def _references(self, shard_of: Sequence[str] | Mapping[int, str]) -> Iterator[Member]:
        for key, a, b, similarity in self._samples():
            places = {"shard_a": shard_of[a], "shard_b": shard_of[b]}
            yield f"{key}.json", json_member({**self._record(a, b, similarity), **places})

    def _samples(self) -> Iterator[tuple[str, int, int, float]]:
        columns = (self.pairs[name].to_pylist() for name in ("pair_key", "a", "b", "similarity"))
        return zip(*columns, strict=True)

    def _rows(self) -> list[int]:
        """Rows of all images of the pairs, ascending."""
        both = np.concatenate([self.pairs["a"].to_numpy(), self.pairs["b"].to_numpy()])
        return np.unique(both).tolist()  # type: ignore[no-any-return]

    def _parts(self) -> "Iterator[PairShard]":
        """Runs of pairs whose images fit in memory."""
        start, filled = 0, 0
        for number, (_, a, b, _) in enumerate(self._samples()):
            size = self.originals[a].image.size_bytes + self.originals[b].image.size_bytes
            if filled and filled + size > _READ_AHEAD_BYTES:
                yield replace(self, pairs=self.pairs.slice(start, number - start))
                start, filled = number, 0
            filled += size
        yield replace(self, pairs=self.pairs.slice(start))

    def _record(self, a: int, b: int, similarity: float) -> dict[str, Any]:
        one, other = self.originals[a].image, self.originals[b].image
        return {
            "key_a": one.key,
            "key_b": other.key,
            "similarity": similarity,
            "label_a": self.unlabelled if one.label is None else one.label,
            "label_b": self.unlabelled if other.label is None else other.label,
        }


def image_record(image: EmbeddedImage, label: int | None) -> bytes:
    """The JSON of an image, equal to that of `json_member` but several times as fast.

    Raises:
        ValueError: the key has other characters than a key may have.
    """
    if not is_clean(image.key):
        raise ValueError(f"{image.key!r} is no key")
    shown = "null" if label is None else label
    return (
        f'{{"height":{image.height},"key":"{image.key}","label":{shown},"sha256":"{image.sha256}","width":{image.width}}}'
    ).encode()


def json_member(record: dict[str, Any]) -> bytes:
    """The JSON of a sample; the same record gives the same bytes.

    Raises:
        ValueError: the JSON is longer than the bytes that the plan reserves.
    """
    text = _encode(record).encode()
    if len(text) > JSON_BYTES:
        raise ValueError(f"the record of a sample has {len(text)} bytes, more than {JSON_BYTES}")
    return text


def _write(record: Path, shard: Path, size_bytes: int, members: Iterable[Member]) -> None:
    with DigestedFile(shard, size_bytes) as stream:
        write_tar(stream, members)
    record.write_text(json.dumps(stream.record))
