"""Training, validation and test parts of a data set, told by the names of files and folders."""

import re
from collections.abc import Iterable

from miner.errors import UsageError

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_MAIN_FOLDERS = ("data", "default")


def split_of(path: str) -> str | None:
    """The split that a path names (`data/train-00000-of-00002.parquet`: train), the nearest to the file first."""
    for part in reversed(path.split("/")):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in _SPLITS:
                return _SPLITS[word]
    return None


def refuse_mixed_splits(spec: str, paths: Iterable[str]) -> None:
    """Refuse a folder of images that is a data set with its splits: pairs across them leak test images.

    Args:
        spec: the folder.
        paths: images below it.
    Raises:
        UsageError: it holds exactly a training folder and validation or test folders.
    """
    folders = sorted({path.split("/")[0] if "/" in path else "" for path in paths})
    splits = [_SPLITS.get(folder.lower()) for folder in folders]
    if len(folders) > 1 and None not in splits and "train" in splits:
        train = folders[splits.index("train")]
        raise UsageError(
            f"{spec} holds the parts {', '.join(folders)} of a data set. Mixing them would show test images to training; "
            f"name one of them, most likely {spec.rstrip('/')}/{train}."
        )


def one_split(spec: str, paths: Iterable[str]) -> tuple[list[str], str | None]:
    """The files of one split among data files: `train` where there are several.

    Args:
        spec: the folder or repository, for the error.
        paths: its data files, below it.
    Returns:
        The chosen files, and a sentence for the user when something was left out.
    Raises:
        UsageError: there are several splits, and none is called train; or several folders, and none is the main one.
    """
    by_split: dict[str | None, list[str]] = {}
    for path in paths:
        by_split.setdefault(split_of(path), []).append(path)
    if len(by_split) > 1 and "train" not in by_split:
        raise UsageError(f"{spec} has several parts and none is called train. Name files: {_examples(spec, by_split)}.")
    split = "train" if "train" in by_split else next(iter(by_split))
    chosen, folders = by_split[split], sorted({path.split("/")[0] for path in by_split[split] if "/" in path})
    main = [folder for folder in folders if folder in _MAIN_FOLDERS]
    if len(folders) > 1 and main:
        chosen = [path for path in chosen if path.startswith(f"{main[0]}/")]
    left_out = sum(map(len, by_split.values())) - len(chosen)
    if not left_out:
        return chosen, None
    parts = ", ".join(sorted(str(name or "unnamed") for name in by_split))
    folder = f" in {main[0]}/" if len(folders) > 1 and main else ""
    said = f"{spec} has the parts {parts}; taking {split}{folder} ({len(chosen)} files, {left_out} left out)"
    return chosen, f"{said}. To take another, name its files: {_examples(spec, by_split)}"


def _examples(spec: str, by_split: dict[str | None, list[str]]) -> str:
    """One glob per split."""
    globs = []
    for paths in by_split.values():
        folder, _, file = paths[0].rpartition("/")
        stem, _, ending = file.rpartition(".")
        pattern = f"{re.split(r'[0-9]', stem)[0]}*.{ending}" if re.search(r"[0-9]", stem) else file
        globs.append("/".join(part for part in (spec.rstrip("/"), folder, pattern) if part))
    return ", ".join(sorted(globs))
