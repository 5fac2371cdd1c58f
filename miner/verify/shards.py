"""Image and pair shards: every key, every image, and every pair against the tables beside them."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from miner.engine import Progress, Record, parse_json
from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.text import counted
from miner.verify.embeddings import VerifiedEmbeddings
from miner.verify.reading import Sample, check_count, check_keys, read_samples, read_table
from miner.verify.survey import Folder, check_file

_DECODING = 64  # images on their way through the decoders at once
_IMAGE_COLUMNS = ("key", "shard", "offset", "bytes", "width", "height", "sha256")
_PAIR_COLUMNS = ("pair_key", "key_a", "key_b", "similarity")


def check_shards(folder: Folder, embeddings: VerifiedEmbeddings | None) -> Record:
    """Keys are unique and resolve, every image decodes and is the one that was embedded, every pair is two different images.

    Returns:
        Counts of images, pairs, and similarities computed again.
    Raises:
        MinerError: something does not fit; the message says in which shard and from which byte on.
    """
    check = _ShardCheck(folder)
    checked = check.tables(embeddings)
    samples = folder.manifest["samples"]
    with check.decoders, Progress("verify", sum(samples.values()), "samples") as progress:
        try:
            for name in sorted(samples, key=lambda name: (not name.startswith("images"), name)):
                progress.advance(check.shard(name))
                check.wait()
                folder.location.drop(folder.path + name)
        except BaseException:
            check.decoders.shutdown(cancel_futures=True)
            raise
    check.counts()
    check.indexes()
    return {"images": check.images, "pairs": check.pairs, "similarities": checked}


class _ShardCheck:
    """What is known while the shards of one export are read.

    Attributes:
        images, pairs: how many were checked.
        known: rows of images.parquet by key; without that table, the records of the samples seen so far.
        mined: both keys and the similarity of each pair of pairs.parquet, by the key of the pair.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder, self.manifest = folder, folder.manifest
        self.decoders = ThreadPoolExecutor(thread_name_prefix="decode")
        self.images = self.pairs = 0
        self.known: dict[str, Record] = {}
        self.mined: dict[str, tuple[str, str, float]] = {}
        self._decoded: set[bytes] = set()
        self._waiting: deque[tuple[str, Future[None]]] = deque()
        self._seen: set[str] = set()

    def tables(self, embeddings: VerifiedEmbeddings | None) -> int:
        """Read images.parquet and pairs.parquet; returns how many similarities were computed again."""
        if "images.parquet" in self.manifest["files"]:
            where = self.folder.full_path("images.parquet")
            table = read_table(self.folder, "images.parquet", _IMAGE_COLUMNS)
            check_keys(where, table["key"].to_pylist())
            check_count(where, "images", len(table), self.manifest["images"])
            self.known = {row["key"]: row for row in table.select(_IMAGE_COLUMNS).to_pylist()}
        where = self.folder.full_path("pairs.parquet")
        table = read_table(self.folder, "pairs.parquet", _PAIR_COLUMNS)
        check_count(where, "pairs", len(table), self.manifest["pairs"])
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
        return embeddings.check_similarities(where, a, b, table["similarity"].to_numpy())

    def shard(self, name: str) -> int:
        """Check one shard; returns how many samples it holds."""
        check_file(self.folder, name, self.manifest["files"][name])
        shard_set = self.manifest.get("sets", {}).get(name.rpartition("-")[0])
        where, count = self.folder.full_path(name), 0
        for sample in read_samples(self.folder.fetch(name), where):
            if sample.key in self._seen:
                raise MinerError(f"{sample.where}: the key occurs twice.")
            self._seen.add(sample.key)
            if shard_set is not None and sorted(sample.fields) != sorted(fields := shard_set["fields"]):
                raise MinerError(
                    f"{sample.where}: it has the fields {', '.join(sample.fields)}, not {', '.join(fields)}."
                )
            if name.startswith("images"):
                self._image(name, sample)
            else:
                self._pair(sample)
            count += 1
        check_count(where, "samples", count, self.manifest["samples"][name])
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
        """Whether the shards hold everything that the tables list."""
        where = self.folder.full_path()
        if self.images:
            check_count(where, "images in its shards", self.images, self.manifest["images"])
        check_count(where, "pairs in its shards", self.pairs, self.manifest["pairs"])

    def indexes(self) -> None:
        """Whether the shard lists for random access say what the manifest says."""
        samples, files = self.manifest["samples"], self.manifest["files"]
        for name, kind in (("index.json", "pairs"), ("index-images.json", "images")):
            if name not in files or "sets" not in self.manifest:
                continue
            index = parse_json(self.folder.fetch(name).read_bytes())
            listed = [(shard["url"], shard["nsamples"], shard["filesize"]) for shard in index["shardlist"]]
            expected = [(shard, samples[shard], files[shard]["bytes"]) for shard in samples if shard.startswith(kind)]
            if sorted(listed) != sorted(expected):
                raise MinerError(f"{self.folder.full_path(name)} lists other shards than the manifest.")

    def _image(self, shard: str, sample: Sample) -> None:
        where, record = sample.where, sample.take_record()
        if len(sample.fields) != 1:
            raise MinerError(f"{where}: it has {counted(len(sample.fields), 'image')}.")
        content, offset = next(iter(sample.fields.values()))
        digest = hashlib.sha256(content)
        if record.get("sha256") != digest.hexdigest():
            raise MinerError(f"{where}: the image at byte {offset:,} does not have the checksum of its record.")
        if "key" in record and record["key"] != sample.key:
            raise MinerError(f"{where}: its record belongs to {record['key']}.")
        row = self.known.get(sample.key) if "images.parquet" in self.manifest["files"] else record
        if row is None:
            raise MinerError(f"{where}: images.parquet does not list it.")
        if (row["sha256"], row.get("offset", offset), row.get("shard", shard)) != (digest.hexdigest(), offset, shard):
            raise MinerError(f"{where}: the image at byte {offset:,} is not the one that images.parquet lists.")
        self.known[sample.key] = row
        self._decode(f"{where}, image at byte {offset:,}", content, digest.digest(), row)
        self.images += 1

    def _pair(self, sample: Sample) -> None:
        where, record = sample.where, sample.take_record()
        key_a, key_b = record.get("key_a"), record.get("key_b")
        if key_a == key_b:
            raise MinerError(f"{where}: both images are {key_a}.")
        if self.mined.get(sample.key) != (key_a, key_b, record.get("similarity")):
            raise MinerError(f"{where}: it is not the pair that pairs.parquet lists.")
        rows = {}
        for side, key in (("a", key_a), ("b", key_b)):
            if (row := self.known.get(str(key))) is None:
                raise MinerError(f"{where}: there is no image {key}.")
            if record.get(f"shard_{side}", row.get("shard")) != row.get("shard"):
                raise MinerError(f"{where}: {key} is in {row['shard']}, not in {record[f'shard_{side}']}.")
            rows[side] = row
        if rows["a"]["sha256"] == rows["b"]["sha256"]:
            raise MinerError(f"{where}: {key_a} and {key_b} are the same image.")
        for field, (content, offset) in sample.fields.items():
            if not field.startswith(("a.", "b.")):
                raise MinerError(f"{where}: the field {field} is none of a pair.")
            row, digest = rows[field[0]], hashlib.sha256(content)
            if row["sha256"] != digest.hexdigest():
                raise MinerError(f"{where}: the image at byte {offset:,} is not {row['key']} of the image table.")
            self._decode(f"{where}, image at byte {offset:,}", content, digest.digest(), row)
        self.pairs += 1

    def _decode(self, where: str, content: bytes, digest: bytes, row: Record) -> None:
        """Decode an image once, in a thread."""
        if digest not in self._decoded:
            self._decoded.add(digest)
            self._waiting.append((where, self.decoders.submit(_check_image, content, row)))
            self.wait(_DECODING)


def _check_image(content: bytes, row: Record) -> None:
    image = decode_image(content)
    size = (row.get("width", image.width), row.get("height", image.height))
    if image.size != size:
        raise ValueError(f"it decodes to {image.width} x {image.height} pixels, not {size[0]} x {size[1]}")
