"""Which labelled images vote, and which are classified."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.training_data import open_images
from miner.errors import MinerError
from miner.evaluate.options import EvaluateOptions
from miner.source import Entry, Source, open_source
from miner.source.named.builtin import BUILTIN, HELD_OUT


class NoLabelsError(MinerError):
    """A source has images, but no label."""


@dataclass(frozen=True)
class LabelledSet:
    """Labelled images of one source.

    Attributes:
        source: that reads them.
        entries: all with a label.
        name: the source as the user named it.
    """

    source: Source
    entries: list[Entry]
    name: str


@dataclass(frozen=True)
class Split:
    """The two sides of a classification by neighbours.

    Attributes:
        gallery, test: labelled images; labels mean the same class on both sides.
        classes: names by label, numbers as text where there are no names.
        origin: where the test images come from: "given", "built-in test set", or "held out by key".
        seen_in_training: whether test images were among the unlabelled training images.
    """

    gallery: LabelledSet
    test: LabelledSet
    classes: list[str]
    origin: str
    seen_in_training: bool


def split(options: EvaluateOptions, inputs: Inputs | None, trained_on: str, first: int | None = None) -> Split:
    """Open the gallery and the test set.

    Args:
        options: as asked.
        inputs: the workspace's own images; needed without `gallery`.
        trained_on: the source of the run, as the user named it.
        first: take only the first so many of the workspace's own images.
    Raises:
        NoLabelsError: there are no labels.
        MinerError: there is only one class, or the classes of the two sides differ.
    """
    gallery = _gallery(options, inputs, first)
    test = _given_test(options, gallery) or _built_in_test(options, gallery)
    if test is None:
        held_out = [entry for entry in gallery.entries if is_held_out(entry.key, options.test_fraction)]
        rest = [entry for entry in gallery.entries if not is_held_out(entry.key, options.test_fraction)]
        gallery, test = replace(gallery, entries=rest), replace(gallery, entries=held_out)
        origin = "held out by key"
    else:
        origin = "given" if options.test else "built-in test set"
    found = Split(gallery, test, _classes(gallery, test), origin, test.name == trained_on)
    _check(found)
    return found


def is_held_out(key: str, fraction: float) -> bool:
    """Whether an image belongs to the held-out part: decided by its key alone, so new images move no old ones."""
    return int.from_bytes(_digest(key)[:8], "big") < fraction * 2**64


def source_identity(spec: str) -> str:
    """Something that changes when a source changes: its fingerprint, or the name of a built-in one."""
    from miner.source.base import source_fingerprint

    return spec if spec in BUILTIN else source_fingerprint(open_source(spec).entries)


def _given_test(options: EvaluateOptions, gallery: LabelledSet) -> LabelledSet | None:
    if options.test is None:
        return None
    return _matched(_labelled(open_source(options.test), None, options.test, options.limit), gallery)


def _built_in_test(options: EvaluateOptions, gallery: LabelledSet) -> LabelledSet | None:
    """The test set that belongs to a built-in gallery; a folder that merely has its name has other classes."""
    name = HELD_OUT.get(gallery.name)
    if name is None:
        return None
    test = _labelled(open_source(name), None, name, options.limit)
    return test if test.source.classes == gallery.source.classes else None


def _gallery(options: EvaluateOptions, inputs: Inputs | None, first: int | None) -> LabelledSet:
    if options.gallery is not None:
        return _labelled(open_source(options.gallery), None, options.gallery, options.limit)
    if inputs is None:
        raise ValueError("without a gallery, the workspace's own images are needed")
    source, entries = open_images(inputs)
    return _labelled(source, entries[:first], inputs.spec, options.limit)


def _labelled(source: Source, entries: Sequence[Entry] | None, name: str, limit: int | None) -> LabelledSet:
    known = [entry for entry in (source.entries if entries is None else entries) if entry.label is not None]
    if not known:
        raise NoLabelsError(
            f"The images of {name} have no labels, and an evaluation needs them. Labels come from class folders "
            "(CLASS/IMAGE.jpg) or from .cls and .json members of shards. Name a labelled source with --gallery, and --test for "
            "the images to classify."
        )
    if limit is not None and limit < len(known):
        chosen = {entry.key for entry in sorted(known, key=lambda entry: _digest(f"limit {entry.key}"))[:limit]}
        known = [entry for entry in known if entry.key in chosen]
    return LabelledSet(source, known, name)


def _matched(test: LabelledSet, gallery: LabelledSet) -> LabelledSet:
    """The test set with labels that mean the gallery's classes, by name where both have names."""
    names, known = test.source.classes, gallery.source.classes
    if names is None or known is None or names == known:
        return test
    if unknown := [name for name in names if name not in known]:
        raise MinerError(
            f"The class {unknown[0]!r} of {test.name} is not among the classes of {gallery.name} ({', '.join(known[:10])}). "
            "The gallery and the test set need the same class names."
        )
    entries = [
        replace(entry, label=known.index(names[entry.label])) for entry in test.entries if entry.label is not None
    ]
    return replace(test, entries=entries)


def _classes(gallery: LabelledSet, test: LabelledSet) -> list[str]:
    highest = max(entry.label or 0 for entry in [*gallery.entries, *test.entries])
    names = gallery.source.classes or test.source.classes or []
    return [names[label] if label < len(names) else str(label) for label in range(highest + 1)]


def _check(found: Split) -> None:
    if not found.gallery.entries or not found.test.entries:
        raise MinerError(
            f"{len(found.gallery.entries)} gallery images and {len(found.test.entries)} test images are too few. Change "
            "--test-fraction or --limit, or name a labelled source with --test."
        )
    if len({entry.label for entry in found.gallery.entries}) < 2:
        raise MinerError(f"All labelled images of {found.gallery.name} are of one class; at least two are needed.")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
