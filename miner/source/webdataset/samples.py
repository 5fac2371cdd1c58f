"""The samples of one shard: tar members that share the name up to the first dot."""

import gzip
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

from miner.errors import MinerError
from miner.source.base import Entry
from miner.source.foreign import GZIP, TAR, foreign_file
from miner.source.keys import printable
from miner.source.kinds import SNIFFED_BYTES, image_extension, sniffed_extension
from miner.source.labels import MISSING, Dropped, RawLabel, better_label, parse_label, parse_label_text
from miner.source.location import absolute, locate
from miner.source.webdataset.tar_members import DamagedTarError, TarMember, tar_members
from miner.text import counted

_MAX_LABEL_BYTES = 1 << 20


class ShardLimits(NamedTuple):
    """The most that a shard may hold. A hostile archive is refused before it fills the memory.

    Attributes:
        members: number of plain files.
        name_length: characters of a member's name.
        unpacked_bytes: the unpacked size of a .tar.gz, which is held in memory.
    """

    members: int = 10_000_000
    name_length: int = 4096
    unpacked_bytes: int = 1 << 30


class Place(NamedTuple):
    """Where an image is: its shard, and the offset of its first byte in the unpacked tar."""

    url: str
    offset: int


class ShardFile(NamedTuple):
    """A shard: its URL, its name in the paths of its entries, and the version of the file."""

    url: str
    name: str
    version: int = 0

    def entry(self, key: str, member: TarMember, extension: str) -> Entry:
        """The entry of an image, with a key as it stands in the shard and without a label."""
        path = printable(f"{self.name}/{member.name}")
        return Entry(key, path, extension, member.size_bytes, None, Place(self.url, member.offset), self.version)


@dataclass
class ShardSample:
    """One sample.

    Attributes:
        image: entry of its first image, under the name in the shard and without a label.
        label: from `.cls` or `.json`.
        images: number of images, of which the first is taken.
        text: what `.txt` holds, as a label.
        others: members that are no image that can be decoded here, and no label.
        sides: those of "a" and "b" that name an image, as in KEY.a.jpg; `miner export` writes pairs so.
        names_two_images: whether the JSON names the two images of a pair.
        fields: what the JSON says under the names that are asked for.
    """

    image: Entry | None = None
    label: RawLabel = MISSING
    images: int = 0
    text: RawLabel = MISSING
    others: list[str] = field(default_factory=list)
    sides: set[str] = field(default_factory=set)
    names_two_images: bool = False
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def is_pair(self) -> bool:
        return self.names_two_images and self.sides == {"a", "b"}

    @property
    def is_image(self) -> bool:
        return self.image is not None and not self.is_pair


def is_packed(url: str) -> bool:
    """Whether a tar is packed, so that it must be unpacked before an image can be read."""
    return url.lower().endswith((".tar.gz", ".tgz"))


def index_samples(shard: ShardFile, limits: ShardLimits, fields: Sequence[str] = ()) -> list[ShardSample]:
    """The samples of a shard, with some fields of their JSON.

    Raises:
        MinerError: the shard is damaged, or beyond a limit.
    """
    samples: dict[str, ShardSample] = {}
    try:
        with _opened(shard.url, limits) as stream:
            for number, member in enumerate(tar_members(stream)):
                _refuse_bomb(shard.url, number, member, limits)
                key, part = _split(member.name)
                if key and not key.endswith("/"):
                    _take(samples.setdefault(key, ShardSample(fields=dict.fromkeys(fields))), shard, key, part, member)
    except DamagedTarError as error:
        raise MinerError(
            f"The shard {shard.url} is damaged or no tar file{foreign_file(shard.url, TAR)}: {error}. Fetch or write it again, or "
            "leave it out."
        ) from error
    return list(samples.values())


def _opened(url: str, limits: ShardLimits) -> IO[bytes]:
    if is_packed(url):
        return io.BytesIO(unpacked(url, limits.unpacked_bytes))
    files, path = locate(url)
    return files.open(path, "rb")  # type: ignore[no-any-return]


def _refuse_bomb(url: str, number: int, member: TarMember, limits: ShardLimits) -> None:
    """Stop before an archive of nothing but headers fills the memory.

    Raises:
        MinerError: there are more members, or longer names, than any data set needs.
    """
    if number >= limits.members:
        raise MinerError(f"The shard {url} has more than {limits.members:,} members. Split it into smaller shards.")
    if len(member.name) > limits.name_length:
        raise MinerError(
            f"The shard {url} has a member with a name of {counted(len(member.name), 'character')} "
            f"({printable(member.name[:60])}...). "
            "Write it again with names that file systems allow, or leave it out."
        )


def _split(name: str) -> tuple[str, str]:
    """ShardSample key and field of a member: the parts before and after the first dot of its file name."""
    folder, slash, file = name.rpartition("/")
    stem, _, part = file.partition(".")
    return folder + slash + stem, part.lower()


def _take(sample: ShardSample, shard: ShardFile, key: str, part: str, member: TarMember) -> None:
    """Let a sample take what one of its members holds; `part` is the member's name after the first dot."""
    if part in ("cls", "json", "txt"):
        _take_label(sample, part, member)
        return
    extension = image_extension(f".{part}") if part else sniffed_extension(member.read(SNIFFED_BYTES))
    if not extension:
        sample.others.append(member.name)
        return
    sample.sides.add(part.partition(".")[0])
    sample.images += 1
    entry = shard.entry(key, member, extension)
    # A later member of the same name is a newer version of it.
    if sample.image is None or sample.image.path == entry.path:
        sample.images -= sample.image is not None
        sample.image = entry


def _take_label(sample: ShardSample, part: str, member: TarMember) -> None:
    if member.size_bytes > _MAX_LABEL_BYTES:
        sample.label = better_label(sample.label, Dropped("file of more than 1 MiB"))
        return
    content = member.read()
    if part == "txt":
        sample.text = parse_label_text(content)
    elif part == "cls":
        sample.label = better_label(parse_label_text(content), sample.label)
    else:
        record = _json_object(content)
        sample.fields = {name: record.get(name) for name in sample.fields}
        sample.names_two_images = {"key_a", "key_b"} <= record.keys()
        found = [parse_label(record.get(name)) for name in ("label", "cls")]
        sample.label = better_label(found[1] if found[0] == MISSING else found[0], sample.label)


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def unpacked(url: str, limit_bytes: int) -> bytes:
    """The tar inside a small .tar.gz, kept in memory until the local file changes.

    Raises:
        MinerError: the file is damaged, or the tar is larger than `limit_bytes`.
    """
    path = absolute(url)
    return _unpacked(path, limit_bytes, Path(path).stat().st_mtime_ns if Path(path).exists() else 0)


@cache
def _unpacked(url: str, limit_bytes: int, changed_ns: int) -> bytes:
    files, path = locate(url)
    try:
        with files.open(path, "rb") as packed, gzip.open(packed) as stream:
            data = stream.read(limit_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise MinerError(
            f"The shard {url} is damaged{foreign_file(url, GZIP)}: {error}. Fetch or write it again, or leave it out."
        ) from error
    if len(data) > limit_bytes:
        raise MinerError(
            f"{url} unpacks to more than {limit_bytes >> 20} MiB. Unpack it first (gunzip) and name the .tar."
        )
    return data
