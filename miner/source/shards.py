"""WebDataset shards: tar files whose members of one sample share the name up to the first dot."""

import gzip
import io
import json
import tarfile
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import braceexpand
import fsspec

from miner.errors import MinerError
from miner.source.base import IMAGE_EXTENSIONS, Entry
from miner.source.keys import hashed_key, is_clean

_MAX_UNPACKED_BYTES = 1 << 30
_MAX_LABEL_BYTES = 1 << 20


@dataclass(frozen=True)
class _Place:
    url: str
    offset: int


class ShardSource:
    """Images inside WebDataset tars (local or fsspec URLs; braces and globs; .tar and small .tar.gz).

    Each sample gives one image: its first member with an image ending. The label comes from the member `.cls`, or from
    `label` or `cls` of the member `.json`. The tar headers are read once; image bytes are read on demand.

    Raises:
        MinerError: no shard matches, a shard is damaged, or no sample has an image.
    """

    def __init__(self, spec: str, classes: list[str] | None = None) -> None:
        self.spec = spec
        self.classes = classes
        samples = [sample for url in _expand(spec) for sample in _index(url)]
        if not samples:
            raise MinerError(f"No image in the shards {spec}. A sample needs a member such as KEY.jpg or KEY.png.")
        self.entries = _with_unique_keys(samples)

    def read(self, entry: Entry) -> bytes:
        place: _Place = entry.locator
        if place.url.endswith(".gz"):
            return _unpacked(place.url)[place.offset : place.offset + entry.size_bytes]
        with fsspec.open(place.url, "rb") as stream:
            stream.seek(place.offset)
            data: bytes = stream.read(entry.size_bytes)
        if len(data) != entry.size_bytes:
            raise OSError(f"{place.url} ends early")
        return data


def is_shards(spec: str) -> bool:
    """Whether a source names tar files."""
    return spec.endswith((".tar", ".tar.gz"))


def _expand(spec: str) -> list[str]:
    urls: list[str] = []
    for pattern in braceexpand.braceexpand(spec):
        files, path = fsspec.core.url_to_fs(pattern)
        found = sorted(files.glob(path)) if "*" in path or "?" in path else [path] * files.exists(path)
        if not found:
            raise MinerError(f"There is no shard {pattern}. Check the path and the range in {spec}.")
        urls += [files.unstrip_protocol(item) for item in found]
    return urls


def _index(url: str) -> list[Entry]:
    """One entry per sample of a shard, with its key as the shard spells it."""
    shard = url.rpartition("/")[2]
    stream = io.BytesIO(_unpacked(url)) if url.endswith(".gz") else fsspec.open(url, "rb").open()
    members: dict[str, dict[str, tarfile.TarInfo]] = {}
    labels: dict[str, int | None] = {}
    try:
        with stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                key, extension = _split(member.name)
                members.setdefault(key, {})[extension] = member
                if extension in ("cls", "json") and member.size <= _MAX_LABEL_BYTES:
                    content = tar.extractfile(member)
                    label = _label(content.read() if content else b"", extension)
                    labels[key] = label if label is not None else labels.get(key)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise MinerError(f"The shard {url} is damaged or no tar file: {error}. Remove it or fetch it again.") from error
    entries = []
    for key, fields in members.items():
        images = [(name.rpartition(".")[2], member) for name, member in fields.items()]
        for extension, member in [image for image in images if image[0] in IMAGE_EXTENSIONS][:1]:
            place = _Place(url, member.offset_data)
            entries.append(Entry(key, f"{shard}/{member.name}", extension, member.size, labels.get(key), place))
    return entries


def _split(name: str) -> tuple[str, str]:
    """Sample key and field, split at the first dot of the last path part."""
    folder, slash, file = name.rpartition("/")
    stem, _, extension = file.partition(".")
    return folder + slash + stem, extension.lower()


def _label(content: bytes, extension: str) -> int | None:
    try:
        value: Any = json.loads(content)
    except (ValueError, UnicodeDecodeError):
        return None
    if extension == "json":
        value = value.get("label", value.get("cls")) if isinstance(value, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


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
    with fsspec.open(url, "rb") as packed, gzip.open(packed) as stream:
        data = stream.read(_MAX_UNPACKED_BYTES + 1)
    if len(data) > _MAX_UNPACKED_BYTES:
        raise MinerError(f"{url} unpacks to more than 1 GiB. Unpack it first (gunzip) and name the .tar.")
    return data
