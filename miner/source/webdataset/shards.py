"""A source of WebDataset shards: tar files in which the members of one sample share the name up to the first dot."""

import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import fsspec

from miner.errors import MinerError
from miner.source.base import IMAGE_EXTENSIONS, Entry
from miner.source.keys import hashed_key, is_clean, printable
from miner.source.labels import RawLabel, are_captions, index_labels, parse_label, parse_label_text
from miner.source.patterns import expand, short_names
from miner.source.reading import read_range
from miner.source.webdataset.tar_members import DamagedTarError, TarMember, tar_members

_MAX_LABEL_BYTES = 1 << 20


class ShardLimits(NamedTuple):
    """The most that a shard may hold. A hostile archive is refused before it fills the memory.

    Attributes:
        members: number of plain files.
        name_length: characters of a member's name.
        unpacked_bytes: of a .tar.gz, which is held in memory.
    """

    members: int = 10_000_000
    name_length: int = 4096
    unpacked_bytes: int = 1 << 30


DEFAULT_LIMITS = ShardLimits()


@dataclass(frozen=True)
class _Place:
    url: str
    offset: int


@dataclass
class _Sample:
    """One sample while its shard is read: the entry of its image, and its labels."""

    image: Entry | None = None
    label: RawLabel = None
    text: RawLabel = None


class ShardSource:
    """Images inside WebDataset tars (local or fsspec URLs; braces and globs; .tar and small .tar.gz).

    Each sample gives one image: its first member with an image ending. The label is a class index or a class name, from the
    member `.cls`, from `label` or `cls` of the member `.json`, or from the member `.txt`. Names are numbered in sorted order
    over the whole source. Texts that hardly repeat are captions and no names. Opening the source reads the tar headers; image
    bytes are read on demand.

    Args:
        spec: what the user typed.
        classes: class names by label, if the caller knows them.
        urls: the shards, if the spec itself does not name them.
        limits: what a shard may hold.
    Raises:
        MinerError: no shard matches; a shard is damaged or beyond a limit; or no sample has an image.
    """

    def __init__(
        self,
        spec: str,
        classes: list[str] | None = None,
        urls: Sequence[str] | None = None,
        limits: ShardLimits = DEFAULT_LIMITS,
    ) -> None:
        self.spec = spec
        self.limits = limits
        urls = expand(spec, "shard") if urls is None else urls
        names = short_names(urls)
        samples = [sample for url, name in zip(urls, names, strict=True) for sample in _index(url, name, limits)]
        if not samples:
            raise MinerError(f"No image in the shards {spec}. A sample needs a member such as KEY.jpg or KEY.png.")
        labels, self.classes = index_labels(_labels(samples), classes)
        entries = _with_unique_keys([sample.image for sample in samples if sample.image])
        self.entries = [replace(entry, label=label) for entry, label in zip(entries, labels, strict=True)]

    def read(self, entry: Entry) -> bytes:
        place: _Place = entry.locator
        if is_packed(place.url):
            return _unpacked(place.url, self.limits.unpacked_bytes)[place.offset : place.offset + entry.size_bytes]
        return read_range(place.url, place.offset, entry.size_bytes)


def is_shards(spec: str) -> bool:
    """Whether a source names tar files."""
    return spec.endswith(".tar") or is_packed(spec)


def is_packed(url: str) -> bool:
    """Whether a tar is packed, so that it must be unpacked before an image can be read."""
    return url.endswith((".tar.gz", ".tgz"))


def _labels(samples: list[_Sample]) -> list[RawLabel]:
    """The label of each sample. Texts are labels only if no sample has another label."""
    if any(sample.label is not None for sample in samples):
        return [sample.label for sample in samples]
    texts = [sample.text for sample in samples]
    return [None] * len(texts) if are_captions([text for text in texts if isinstance(text, str)]) else texts


def _index(url: str, shard: str, limits: ShardLimits) -> list[_Sample]:
    """The samples of a shard that have an image. Their keys are the names in the shard."""
    samples: dict[str, _Sample] = {}
    stream = io.BytesIO(_unpacked(url, limits.unpacked_bytes)) if is_packed(url) else fsspec.open(url, "rb").open()
    try:
        with stream:
            for number, member in enumerate(tar_members(stream)):
                _refuse_bomb(url, number, member, limits)
                key, field = _split(member.name)
                if key.endswith("/") or not key:
                    continue
                sample = samples.setdefault(key, _Sample())
                extension = field.rpartition(".")[2]
                if extension in IMAGE_EXTENSIONS and _is_first_image(sample, member):
                    path, place = printable(f"{shard}/{member.name}"), _Place(url, member.offset)
                    sample.image = Entry(key, path, extension, member.size_bytes, None, place)
                _take_label(sample, field, member)
    except DamagedTarError as error:
        raise MinerError(f"The shard {url} is damaged or no tar file: {error}. Remove it or fetch it again.") from error
    return [sample for sample in samples.values() if sample.image]


def _refuse_bomb(url: str, number: int, member: TarMember, limits: ShardLimits) -> None:
    """Stop before an archive of nothing but headers fills the memory.

    Raises:
        MinerError: there are more members, or longer names, than any data set needs.
    """
    if number >= limits.members:
        raise MinerError(f"The shard {url} has more than {limits.members:,} members. Split it into smaller shards.")
    if len(member.name) > limits.name_length:
        raise MinerError(
            f"The shard {url} has a member with a name of {len(member.name):,} characters ({printable(member.name[:60])}...). "
            "Remove the shard, or write it again with names that file systems allow."
        )


def _is_first_image(sample: _Sample, member: TarMember) -> bool:
    """Whether a member is the image of its sample: the first image, or a newer member of the same name."""
    return sample.image is None or sample.image.path.endswith(f"/{printable(member.name)}")


def _take_label(sample: _Sample, field: str, member: TarMember) -> None:
    if field not in ("cls", "json", "txt") or member.size_bytes > _MAX_LABEL_BYTES:
        return
    content = member.read()
    if field == "txt":
        sample.text = parse_label_text(content)
        return
    label = _json_label(content) if field == "json" else parse_label_text(content)
    if isinstance(label, int) or (label is not None and not isinstance(sample.label, int)):
        sample.label = label


def _split(name: str) -> tuple[str, str]:
    """Sample key and field, split at the first dot of the last path part."""
    folder, slash, file = name.rpartition("/")
    stem, _, extension = file.partition(".")
    return folder + slash + stem, extension.lower()


def _json_label(content: bytes) -> RawLabel:
    try:
        record: Any = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    label = parse_label(record.get("label"))
    return label if label is not None else parse_label(record.get("cls"))


def _with_unique_keys(samples: list[Entry]) -> list[Entry]:
    """The entries with unique, valid keys. A key that is not valid, or that occurs twice, is hashed with the shard's name."""
    counts = Counter(sample.key for sample in samples)
    return [
        sample
        if counts[sample.key] == 1 and is_clean(sample.key)
        else replace(
            sample, key=hashed_key(sample.path if counts[sample.key] > 1 else f"{sample.key}.{sample.extension}")
        )
        for sample in samples
    ]


@cache
def _unpacked(url: str, limit_bytes: int) -> bytes:
    """The tar inside a small .tar.gz, in memory."""
    try:
        with fsspec.open(url, "rb") as packed, gzip.open(packed) as stream:
            data = stream.read(limit_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise MinerError(f"The shard {url} is damaged: {error}. Remove it or fetch it again.") from error
    if len(data) > limit_bytes:
        raise MinerError(
            f"{url} unpacks to more than {limit_bytes >> 20} MiB. Unpack it first (gunzip) and name the .tar."
        )
    return data
