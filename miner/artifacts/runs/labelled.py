"""The labelled images of an evaluation: the gallery, which votes or trains a classifier, and the test images."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from miner.artifacts.embeddings.manifest import SourceRecord
from miner.engine import Record
from miner.errors import MinerError, UsageError
from miner.source import Entry, Source, open_source
from miner.source.base import source_fingerprint
from miner.source.named.builtin import BUILTIN, HELD_OUT
from miner.text import counted

if TYPE_CHECKING:
    from torch import Tensor

    from miner.artifacts.runs.inputs import Inputs
    from miner.images.ragged import Pixels

TEST_FRACTION = 0.2


class NoLabelsError(MinerError):
    """A source has images, but no label."""


@dataclass(frozen=True)
class LabelledImages:
    """Images of one source, all with a label; `name` is the source as the user named it."""

    source: Source
    entries: list[Entry]
    name: str

    def labels(self) -> "Tensor":
        """int64 (n,), on the CPU."""
        import torch

        return torch.tensor([entry.label for entry in self.entries], dtype=torch.long)

    def pixels(self, side: int, workers: int, crop: float = 1.0) -> "Tensor":
        """The central squares, uint8 (n, 3, side, side), on the CPU; `workers` threads decode, `crop` is that of `load_squares`."""
        from miner.images.loading import load_squares

        return load_squares(self.source, self.entries, side, workers, f"decode {self.name}", crop=crop)

    def whole(self, bound: int, workers: int) -> "Pixels":
        """The whole images, on the CPU, with a short side of `bound` pixels at most."""
        from miner.images.whole import load_images

        return load_images(self.source, self.entries, bound, workers, f"decode {self.name}")


@dataclass(frozen=True)
class LabelledSplit:
    """Gallery and test images.

    Attributes:
        gallery, test: labelled images; a label means the same class in both.
        classes: names by label, numbers as text where there are no names.
        origin: where the test images come from: "given", "built-in test set", or "held out by key".
        seen_in_training: whether test images were among the unlabelled training images.
    """

    gallery: LabelledImages
    test: LabelledImages
    classes: list[str]
    origin: str
    seen_in_training: bool

    def describe(self, image_size: int, crop: float = 1.0) -> Record:
        """What is measured on which images, and how a backbone sees them."""
        return {
            "unit": "top-1 accuracy in percent",
            "layer": "backbone, pooled",
            "mode": "eval: running statistics, no augmentation, float32",
            "resize": f"shorter side to {round(image_size / crop)} px (bilinear, antialias), "
            + ("central square" if crop == 1 else f"centre crop of {image_size} px"),
            "gallery": self.gallery.name,
            "test": self.test.name,
            "test_origin": self.origin,
            "queries_seen_unlabelled": self.seen_in_training,
            "n_gallery": len(self.gallery.entries),
            "n_test": len(self.test.entries),
            "classes": len({entry.label for entry in self.gallery.entries}),
            "class_names": self.classes,
        }


def split_labelled(
    inputs: "Inputs | None",
    trained_on: str,
    *,
    gallery: str | None = None,
    test: str | None = None,
    test_fraction: float = TEST_FRACTION,
    limit: int | None = None,
    first: int | None = None,
    like: SourceRecord | None = None,
) -> LabelledSplit:
    """Open the gallery and the test set.

    Args:
        inputs: the workspace's own images; needed without `gallery`.
        trained_on: the source of the run, as the user named it.
        test_fraction: the share of the gallery that is held out by key where there is no test set.
        limit: take only so many images of each side, chosen by key.
        first: take only the first so many of the workspace's own images.
        like: the source of the workspace, as in `open_like`.
    Raises:
        NoLabelsError: there are no labels.
        MinerError: there is only one class, or the classes of the two sides differ.
    """
    given = {spec: _labelled(open_like(spec, like), None, spec, limit) for spec in (gallery, test) if spec is not None}
    known = given[gallery] if gallery else _own_images(inputs, limit, first)
    queries = _matched(given[test], known) if test else _built_in_test(known, limit)
    origin = "given" if test else "built-in test set"
    if queries is None:
        held_out = [entry for entry in known.entries if is_held_out(entry.key, test_fraction)]
        rest = [entry for entry in known.entries if not is_held_out(entry.key, test_fraction)]
        known, queries, origin = replace(known, entries=rest), replace(known, entries=held_out), "held out by key"
    if not known.entries or not queries.entries:
        raise MinerError(
            f"{counted(len(known.entries), 'gallery image')} and {counted(len(queries.entries), 'test image')} are too few. Change "
            "--test-fraction or --limit, or name a labelled source with --test."
        )
    if len({entry.label for entry in known.entries}) < 2:
        raise MinerError(f"All labelled images of {known.name} are of one class; at least two are needed.")
    return LabelledSplit(
        known, queries, _classes(known, queries), origin, trained_on in (queries.name, queries.source.spec)
    )


def is_held_out(key: str, fraction: float) -> bool:
    """Whether an image belongs to the held-out part: decided by its key alone, so new images move no old ones."""
    return int.from_bytes(_digest(key)[:8], "big") < fraction * 2**64


def open_like(spec: str, like: SourceRecord | None) -> Source:
    """Open a source that the user names; its Parquet files by the columns that were chosen for `like`, where they have them."""
    if like is not None and (like.image_column or like.label_column):
        with suppress(UsageError):
            return open_source(spec, like.image_column, like.label_column)
    return open_source(spec)


def source_identity(spec: str, like: SourceRecord | None) -> str:
    """A text that changes when a source changes: its fingerprint, or the name of a built-in one. Arguments as of `open_like`."""
    return spec if spec in BUILTIN else source_fingerprint(open_like(spec, like).entries)


def _own_images(inputs: "Inputs | None", limit: int | None, first: int | None) -> LabelledImages:
    if inputs is None:
        raise ValueError("without a gallery, the workspace's own images are needed")
    from miner.artifacts.runs.training_data import open_images

    source, entries = open_images(inputs)
    return _labelled(source, entries[:first], inputs.spec, limit)


def _built_in_test(gallery: LabelledImages, limit: int | None) -> LabelledImages | None:
    """The test set of a built-in gallery; a folder that merely has its name has other classes."""
    if (name := HELD_OUT.get(gallery.name)) is None:
        return None
    test = _labelled(open_source(name), None, name, limit)
    return test if test.source.classes == gallery.source.classes else None


def _labelled(source: Source, entries: Sequence[Entry] | None, name: str, limit: int | None) -> LabelledImages:
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
    return LabelledImages(source, known, name)


def _matched(test: LabelledImages, gallery: LabelledImages) -> LabelledImages:
    """The test set with the gallery's labels, matched by class name."""
    index = class_indices(gallery.source.classes, test.source.classes, gallery.name, test.name)
    if index is None:
        return test
    return replace(
        test, entries=[replace(entry, label=index[entry.label]) for entry in test.entries if entry.label is not None]
    )


def class_indices(known: list[str] | None, names: list[str] | None, gallery: str, test: str) -> dict[int, int] | None:
    """The gallery's label for each label of the test set; None if both have the same labels.

    Args:
        known, names: class names of the gallery and of the test set; None for plain class numbers.
        gallery, test: names of the two sources, for the error.
    Raises:
        MinerError: one has names and the other numbers, or the gallery lacks a class of the test set.
    """
    if names == known:
        return None
    if names is None or known is None:
        numbers, named = (test, gallery) if names is None else (gallery, test)
        raise MinerError(
            f"The labels of {numbers} are numbers, and those of {named} are class names "
            f"({', '.join((names or known or [])[:10])}). Nothing says which number is which class. Give both sources class names."
        )
    if unknown := [name for name in names if name not in known]:
        raise MinerError(
            f"The class {unknown[0]!r} of {test} is not among the classes of {gallery} ({', '.join(known[:10])}). "
            "The gallery and the test set need the same class names."
        )
    return {label: known.index(name) for label, name in enumerate(names)}


def _classes(gallery: LabelledImages, test: LabelledImages) -> list[str]:
    highest = max(entry.label or 0 for entry in [*gallery.entries, *test.entries])
    names = gallery.source.classes or test.source.classes or []
    return [names[label] if label < len(names) else str(label) for label in range(highest + 1)]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
