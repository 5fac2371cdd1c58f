"""WebDataset shards: tar files whose members of one sample share the name up to the first dot."""

import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import fsspec

from miner.errors import MinerError
from miner.source.base import IMAGE_EXTENSIONS, Entry
from miner.source.keys import hashed_key, is_clean, printable
from miner.source.labels import RawLabel, are_captions, index_labels, parse_label, parse_label_text
from miner.source.patterns import expand, short_names
from miner.source.reading import read_range
from miner.source.webdataset.tar_members import DamagedTarError, TarMember, tar_members

_MAX_UNPACKED_BYTES = 1 << 30
_MAX_LABEL_BYTES = 1 << 20
_MAX_MEMBERS = 10_000_000
_MAX_NAME_LENGTH = 4096


@dataclass(frozen=True)
class _Place:
    url: str
    offset: int


@dataclass
class _Sample:
    """One sample while its shard is read: an image to be, and what may label it."""

    image: Entry | None = None
    label: RawLabel = None
    text: RawLabel = None


class ShardSource:
    """Images inside WebDataset tars (local or fsspec URLs; braces and globs; .tar and small .tar.gz).

    Each sample gives one image: its first member with an image ending. The label comes from the member `.cls`, from `label`
    or `cls` of the member `.json`, or from the member `.txt`: a class index, or a class name. Names are numbered in sorted
    order over the whole source; texts that hardly repeat are captions, not names. The tar headers are read once; image
    bytes are read on demand.

    Args:
        spec: what the user typed.
        classes: class names by label, if the caller knows them.
        urls: the shards, if the spec itself does not name them.
    Raises:
        MinerError: no shard matches, a shard is damaged, or no sample has an image.
    """

    def __init__(self, spec: str, classes: list[str] | None = None, urls: Sequence[str] | None = None) -> None:
        self.spec = spec
        urls = expand(spec, "shard") if urls is None else urls
        samples = [sample for url, name in zip(urls, short_names(urls), strict=True) for sample in _index(url, name)]
        if not samples:
            raise MinerError(f"No image in the shards {spec}. A sample needs a member such as KEY.jpg or KEY.png.")
        labels, self.classes = index_labels(_labels(samples), classes)
        entries = _with_unique_keys([sample.image for sample in samples if sample.image])
        self.entries = [replace(entry, label=label) for entry, label in zip(entries, labels, strict=True)]

    def read(self, entry: Entry) -> bytes:
        place: _Place = entry.locator
        if is_packed(place.url):
            return _unpacked(place.url)[place.offset : place.offset + entry.size_bytes]
        return read_range(place.url, place.offset, entry.size_bytes)


def is_shards(spec: str) -> bool:
    """Whether a source names tar files."""
    return spec.endswith(".tar") or is_packed(spec)


def is_packed(url: str) -> bool:
    """Whether a tar has to be unpacked before it can be read at random."""
    return url.endswith((".tar.gz", ".tgz"))


def _labels(samples: list[_Sample]) -> list[RawLabel]:
    """The label of each sample; from its text only where no sample has a better one."""
    if any(sample.label is not None for sample in samples):
        return [sample.label for sample in samples]
    texts = [sample.text for sample in samples]
    return [None] * len(texts) if are_captions([text for text in texts if isinstance(text, str)]) else texts


def _index(url: str, shard: str) -> list[_Sample]:
    """The samples of a shard that have an image, with their keys as the shard spells them."""
    samples: dict[str, _Sample] = {}
    stream = io.BytesIO(_unpacked(url)) if is_packed(url) else fsspec.open(url, "rb").open()
    try:
        with stream:
            for number, member in enumerate(tar_members(stream)):
                _refuse_bomb(url, number, member)
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


def _refuse_bomb(url: str, number: int, member: TarMember) -> None:
    """Stop before an archive that is nothing but headers fills the memory.

    Raises:
        MinerError: there are more members, or longer names, than any data set needs.
    """
    if number >= _MAX_MEMBERS:
        raise MinerError(f"The shard {url} has more than {_MAX_MEMBERS:,} members. Split it into smaller shards.")
    if len(member.name) > _MAX_NAME_LENGTH:
        raise MinerError(
            f"The shard {url} has a member with a name of {len(member.name):,} characters ({printable(member.name[:60])}...). "
            "Remove the shard, or write it again with names that file systems allow."
        )


def _is_first_image(sample: _Sample, member: TarMember) -> bool:
    """Whether this member is the image of its sample: the first one, or a newer version of the same member."""
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
    """Clean keys as they are; others, and those that occur twice, hashed together with the shard name."""
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
def _unpacked(url: str) -> bytes:
    """The tar inside a small .tar.gz, held in memory."""
    try:
        with fsspec.open(url, "rb") as packed, gzip.open(packed) as stream:
            data = stream.read(_MAX_UNPACKED_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise MinerError(f"The shard {url} is damaged: {error}. Remove it or fetch it again.") from error
    if len(data) > _MAX_UNPACKED_BYTES:
        raise MinerError(f"{url} unpacks to more than 1 GiB. Unpack it first (gunzip) and name the .tar.")
    return data
