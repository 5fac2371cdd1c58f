"""Image and pair shards: every key, every image, and every pair against the tables beside them."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from miner.engine import Progress
from miner.engine.records import Record
from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.source.base import check_size
from miner.source.webdataset.tar_members import DamagedTarError, tar_members
from miner.verify.checksums import Folder, check_file
from miner.verify.location import Place
from miner.verify.tables import Embeddings, check_keys, check_similarities, read_table

_DECODING = 64  # images on their way through the decoders at once
_IMAGE_COLUMNS = ("key", "shard", "offset", "bytes", "width", "height", "sha256")
_PAIR_COLUMNS = ("pair_key", "key_a", "key_b", "similarity")


@dataclass
class Sample:
    """One sample of a shard.

    Attributes:
        key: of the sample.
        offset: of its first header in the shard, in bytes.
        fields: content and place by field name.
    """

    key: str
    offset: int
    fields: dict[str, tuple[bytes, int]]


def check_shards(place: Place, folder: Folder, embeddings: Embeddings | None) -> Record:
    """Keys are unique and resolve, every image decodes and is the one that was embedded, every pair is two different images.

    Args:
        place: that holds the folder.
        folder: of the export.
        embeddings: that it came from, if they are there.
    Returns:
        Counts of images, pairs, and similarities computed again.
    Raises:
        MinerError: something does not fit; the message says in which shard and from which byte on.
    """
    check = _ShardCheck(place, folder)
    checked = check.tables(embeddings)
    with check.decoders, Progress("verify", sum(folder.manifest["samples"].values()), "samples") as progress:
        try:
            for shard in sorted(folder.manifest["samples"], key=lambda name: (not name.startswith("images"), name)):
                progress.advance(check.shard(shard))
                check.wait()
                place.drop(folder.path + shard)
        except BaseException:
            check.decoders.shutdown(cancel_futures=True)
            raise
    check.counts()
    return {"images": check.images, "pairs": check.pairs, "similarities": checked}


class _ShardCheck:
    """What is known while the shards of one export are read."""

    def __init__(self, place: Place, folder: Folder) -> None:
        self.place, self.folder, self.manifest = place, folder, folder.manifest
        self.decoders = ThreadPoolExecutor(thread_name_prefix="decode")
        self.images = self.pairs = 0
        self.known: dict[str, Record] = {}
        self.mined: dict[str, tuple[str, str, float]] = {}
        self._decoded: set[bytes] = set()
        self._waiting: deque[tuple[str, Future[None]]] = deque()
        self._seen: set[str] = set()

    def tables(self, embeddings: Embeddings | None) -> int:
        """Read images.parquet and pairs.parquet; returns how many similarities were computed again."""
        path = self.folder.path
        if "images.parquet" in self.manifest["files"]:
            table = read_table(self.place, path + "images.parquet", _IMAGE_COLUMNS)
            check_keys(self.place.name(path + "images.parquet"), table["key"].to_pylist())
            self._count("images.parquet", len(table), self.manifest["images"])
            self.known = {row["key"]: row for row in table.select(_IMAGE_COLUMNS).to_pylist()}
        where = self.place.name(path + "pairs.parquet")
        table = read_table(self.place, path + "pairs.parquet", _PAIR_COLUMNS)
        self._count("pairs.parquet", len(table), self.manifest["pairs"])
        self.mined = {
            key: tuple(rest) for key, *rest in zip(*(table[name].to_pylist() for name in _PAIR_COLUMNS), strict=True)
        }
        if len(self.mined) != len(table):
            raise MinerError(f"{where}: a pair key occurs twice.")
        if embeddings is None:
            return 0
        a, b = (embeddings.rows_of(table[name]) for name in ("key_a", "key_b"))
        if len(unknown := np.flatnonzero((a < 0) | (b < 0))):
            raise MinerError(f"{where}: row {unknown[0]} names an image that is not among the embeddings.")
        return check_similarities(where, a, b, table["similarity"].to_numpy(), embeddings)

    def shard(self, name: str) -> int:
        """Check one shard; returns how many samples it holds."""
        check_file(self.place, self.folder.path, name, self.manifest["files"][name])
        expected = self.manifest["samples"][name]
        fields = next((entry["fields"] for entry in self._sets(name)), None)
        count = 0
        for sample in read_samples(self.place.fetch(self.folder.path + name), self.place.name(self.folder.path + name)):
            where = f"{self.place.name(self.folder.path + name)}, sample {sample.key} at byte {sample.offset:,}"
            if sample.key in self._seen:
                raise MinerError(f"{where}: the key occurs twice.")
            self._seen.add(sample.key)
            if fields is not None and sorted(sample.fields) != sorted(fields):
                raise MinerError(f"{where}: it has the fields {', '.join(sample.fields)}, not {', '.join(fields)}.")
            if name.startswith("images"):
                self._image(where, name, sample)
            else:
                self._pair(where, sample)
            count += 1
        if count != expected:
            raise MinerError(
                f"{self.place.name(self.folder.path + name)} holds {count:,} samples, where the manifest says {expected:,}."
            )
        return count

    def wait(self, left: int = 0) -> None:
        """Let the decoders finish until that many images are left."""
        while len(self._waiting) > left:
            where, future = self._waiting.popleft()
            try:
                future.result()
            except (UnreadableImageError, ValueError) as error:
                raise MinerError(f"{where}: {error}.") from error

    def counts(self) -> None:
        """Whether everything that the tables list was met."""
        if self.images and self.images != self.manifest["images"]:
            self._count("image shards", self.images, self.manifest["images"])
        self._count("pair shards", self.pairs, self.manifest["pairs"])
        self._check_indexes()

    def _image(self, where: str, shard: str, sample: Sample) -> None:
        record = _record(where, sample)
        if len(sample.fields) != 1:
            raise MinerError(f"{where}: it has {len(sample.fields)} images.")
        content, offset = next(iter(sample.fields.values()))
        digest = hashlib.sha256(content)
        if record.get("sha256") != digest.hexdigest():
            raise MinerError(f"{where}: the image at byte {offset:,} does not have the checksum of its record.")
        if "key" in record and record["key"] != sample.key:
            raise MinerError(f"{where}: its record belongs to {record['key']}.")
        row = self.known.get(sample.key) if "images.parquet" in self.manifest["files"] else record
        if row is None:
            raise MinerError(f"{where}: images.parquet does not list it.")
        if (
            row["sha256"] != digest.hexdigest()
            or row.get("offset", offset) != offset
            or row.get("shard", shard) != shard
        ):
            raise MinerError(f"{where}: the image at byte {offset:,} is not the one that images.parquet lists.")
        self.known[sample.key] = row
        self._decode(f"{where}, image at byte {offset:,}", content, digest.digest(), row)
        self.images += 1

    def _pair(self, where: str, sample: Sample) -> None:
        record = _record(where, sample)
        key_a, key_b = record.get("key_a"), record.get("key_b")
        if key_a == key_b:
            raise MinerError(f"{where}: both images are {key_a}.")
        mined = self.mined.get(sample.key)
        if mined is None or mined[:2] != (key_a, key_b) or mined[2] != record.get("similarity"):
            raise MinerError(f"{where}: it is not the pair that pairs.parquet lists.")
        rows = [self.known.get(str(key)) for key in (key_a, key_b)]
        for key, row in zip((key_a, key_b), rows, strict=True):
            if row is None:
                raise MinerError(f"{where}: there is no image {key}.")
        one, other = (row["sha256"] for row in rows if row)
        if one == other:
            raise MinerError(f"{where}: {key_a} and {key_b} are the same image.")
        for side, row in zip("ab", rows, strict=True):
            if row and f"shard_{side}" in record and record[f"shard_{side}"] != row["shard"]:
                raise MinerError(f"{where}: {row['key']} is in {row['shard']}, not in {record[f'shard_{side}']}.")
        for field, (content, offset) in sample.fields.items():
            if not field.startswith(("a.", "b.")):
                raise MinerError(f"{where}: the field {field} is none of a pair.")
            row = rows["ab".index(field[0])]
            digest = hashlib.sha256(content)
            if row and row["sha256"] != digest.hexdigest():
                raise MinerError(f"{where}: the image at byte {offset:,} is not {row['key']} of the image table.")
            self._decode(f"{where}, image at byte {offset:,}", content, digest.digest(), row or {})
        self.pairs += 1

    def _decode(self, where: str, content: bytes, digest: bytes, row: Record) -> None:
        """Decode an image once, in a thread."""
        if digest not in self._decoded:
            self._decoded.add(digest)
            self._waiting.append((where, self.decoders.submit(_check_image, content, row)))
            self.wait(_DECODING)

    def _sets(self, shard: str) -> list[Record]:
        name = shard.rpartition("-")[0]
        return [entry for key, entry in self.manifest.get("sets", {}).items() if key == name]

    def _check_indexes(self) -> None:
        """Whether the shard lists for random access say what the manifest says."""
        samples, files = self.manifest["samples"], self.manifest["files"]
        for name, kind in (("index.json", "pairs"), ("index-images.json", "images")):
            if name not in files or "sets" not in self.manifest:
                continue
            path = self.folder.path + name
            listed = [
                (shard["url"], shard["nsamples"], shard["filesize"])
                for shard in json.loads(self.place.read(path))["shardlist"]
            ]
            expected = [(shard, samples[shard], files[shard]["bytes"]) for shard in samples if shard.startswith(kind)]
            if sorted(listed) != sorted(expected):
                raise MinerError(f"{self.place.name(path)} lists other shards than the manifest.")

    def _count(self, what: str, found: int, expected: int) -> None:
        if found != expected:
            where = self.place.name(self.folder.path + what) if what.endswith("parquet") else f"The {what}"
            raise MinerError(f"{where}: {found:,} found, where the manifest says {expected:,}.")


def read_samples(path: Path, where: str) -> Iterator[Sample]:
    """The samples of a shard in order; their members stand side by side.

    Args:
        path: of the shard.
        where: how to call it.
    Raises:
        MinerError: it is no readable tar, or a field occurs twice.
    """
    sample: Sample | None = None
    try:
        with path.open("rb") as stream:
            for member in tar_members(stream):
                key, _, field = member.name.partition(".")
                if sample is None or sample.key != key:
                    if sample is not None:
                        yield sample
                    sample = Sample(key, member.offset - 512, {})
                if field in sample.fields:
                    raise MinerError(
                        f"{where}, sample {key} at byte {sample.offset:,}: the field {field} occurs twice."
                    )
                check_size(member.size_bytes)
                sample.fields[field] = (os.pread(stream.fileno(), member.size_bytes, member.offset), member.offset)
    except (DamagedTarError, OSError) as error:
        raise MinerError(f"{where} is no readable tar: {error}.") from error
    if sample is not None:
        yield sample


def _record(where: str, sample: Sample) -> dict[str, Any]:
    """Take the JSON out of a sample."""
    try:
        record = json.loads(sample.fields.pop("json")[0])
    except (KeyError, ValueError, RecursionError) as error:
        raise MinerError(f"{where}: it has no readable JSON.") from error
    if not isinstance(record, dict):
        raise MinerError(f"{where}: its JSON is no object.")
    return record


def _check_image(content: bytes, row: Record) -> None:
    image = decode_image(content)
    size = (row.get("width", image.width), row.get("height", image.height))
    if image.size != size:
        raise ValueError(f"it decodes to {image.width} x {image.height} pixels, not {size[0]} x {size[1]}")
