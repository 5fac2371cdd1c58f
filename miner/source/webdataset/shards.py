"""A source of WebDataset shards: tar files in which the members of one sample share the name up to the first dot."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from miner.errors import MinerError
from miner.source.base import Entry, LeftOut
from miner.source.keys import hashed_key, is_clean
from miner.source.kinds import count_endings
from miner.source.labels import MISSING, Dropped, RawLabel, are_captions, index_labels
from miner.source.listing import file_facts
from miner.source.patterns import expand, short_names
from miner.source.reading import read_range
from miner.source.webdataset.exported import Export, read_export
from miner.source.webdataset.samples import (
    Place,
    ShardFile,
    ShardLimits,
    ShardSample,
    index_samples,
    is_packed,
    unpacked,
)

DEFAULT_LIMITS = ShardLimits()


class ShardSource:
    """Images inside WebDataset tars (local or fsspec URLs; braces and globs; .tar and small .tar.gz).

    Each sample gives one image: its first member with an image ending. The label is a class index or a class name. It
    comes from the member `.cls`, from `label` or `cls` of the member `.json`, or from the member `.txt`. Texts that hardly repeat
    are captions and no names. Opening the source reads the tar headers; image bytes are read on demand.

    The shards of an export may lie among them. Its manifest gives the class names. Pairs are left out, because the image shards
    hold each of their images.

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
        exports = _exports(urls)
        self._shards: list[ShardFile] = []
        samples: list[ShardSample] = []
        stated: list[list[str] | None] = []  # class names that an export states, by image
        for url, name in zip(urls, short_names(urls), strict=True):
            export = exports[url]
            if export is None or not export.holds_pairs(url):
                self._shards.append(ShardFile(url, name, file_facts(url).version))
                found = index_samples(self._shards[-1], limits)
                samples += found
                stated += [export and export.classes for sample in found if sample.is_image]
        images = [sample for sample in samples if sample.is_image]
        if not images:
            pairs = any(exports.values()) or any(sample.is_pair for sample in samples)
            hint = (
                "They hold pairs. Name the image shards of the export."
                if pairs
                else "A sample needs a KEY.jpg or KEY.png."
            )
            raise MinerError(f"No image in the shards {spec}. {hint}")
        labels = _labels(images)
        if classes is None and all(names == stated[0] for names in stated):
            classes = stated[0]
        elif classes is None:
            labels = [_name(label, names) for label, names in zip(labels, stated, strict=True)]
        indices, self.classes, dropped = index_labels(labels, classes)
        entries = _with_unique_keys([sample.image for sample in images if sample.image])
        self.entries = [replace(entry, label=label) for entry, label in zip(entries, indices, strict=True)]
        others = [name for sample in samples if sample.image is None for name in sample.others]
        further = sum(sample.images - 1 for sample in images)
        self.left_out = LeftOut(count_endings(others) + Counter({"second image of a sample": further}), dropped)

    def read(self, entry: Entry) -> bytes:
        place: Place = entry.locator
        if is_packed(place.url):
            return unpacked(place.url, self.limits.unpacked_bytes)[place.offset : place.offset + entry.size_bytes]
        return read_range(place.url, place.offset, entry.size_bytes)

    def fields(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Some fields of the JSON of each image. The shards are read once more."""
        samples = [sample for shard in self._shards for sample in index_samples(shard, self.limits, names)]
        found = [sample.fields for sample in samples if sample.is_image]
        return {name: [fields[name] for fields in found] for name in names}


def is_shards(spec: str) -> bool:
    """Whether a source names tar files."""
    return spec.lower().endswith(".tar") or is_packed(spec)


def _exports(urls: Sequence[str]) -> dict[str, Export | None]:
    """The export that each shard belongs to."""
    folders = {url: url.rpartition("/")[0] for url in urls}
    exports = {folder: read_export(folder) for folder in dict.fromkeys(folders.values())}
    return {
        url: export if (export := exports[folder]) and export.lists(url) else None for url, folder in folders.items()
    }


def _labels(samples: Sequence[ShardSample]) -> list[RawLabel]:
    """The label of each sample. Texts are labels only if no sample has another label."""
    if any(not isinstance(sample.label, Dropped) for sample in samples):
        return [sample.label for sample in samples]
    texts = [sample.label if sample.text == MISSING else sample.text for sample in samples]
    if are_captions([text for text in texts if isinstance(text, str)]):
        return [text if isinstance(text, Dropped) else Dropped("caption") for text in texts]
    return texts


def _name(label: RawLabel, names: list[str] | None) -> RawLabel:
    return names[label] if names and isinstance(label, int) and label < len(names) else label


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
