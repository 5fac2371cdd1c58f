"""Training, validation and test parts of a data set, and its classes, told by the names of folders and files."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from miner.errors import UsageError
from miner.text import counted

_SPLITS = {
    **dict.fromkeys(("train", "training", "trainval", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "minival", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "testset", "eval", "evaluation", "holdout", "heldout"), "test"),
    **dict.fromkeys(("unlabeled", "unlabelled", "unsupervised"), "unlabelled"),
    "extra": "extra",
}
# Of a data set with splits: what is trained on comes first.
ORDER = ("train", "unlabelled", "extra", "validation", "test")
# Parts that a data file may name without belonging to a data set with splits.
_FURTHER = ("unlabelled", "extra")
# Words that stand beside the name of a split in the name of a folder, as in `train2017`, `test_images`, `TrainingSet`.
_BESIDE = frozenset(
    (
        *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "jpg", "jpeg", "png"),
        *("data", "dataset", "set", "split", "part", "full", "small", "large"),
    )
)
_MAIN_FOLDERS = ("data", "default")


@dataclass(frozen=True)
class FolderParts:
    """What the folders around images mean.

    Attributes:
        splits: the parts of a data set, each with its folder, or a pattern for several; empty unless there are two parts.
        classes: names of the first-level folders, sorted, if they are classes.
    """

    splits: dict[str, str]
    classes: list[str] | None


def folder_parts(paths: Iterable[str], no_splits: bool = False) -> FolderParts:
    """Which folders are splits, and which are classes.

    A folder names a split if its name consists of the word of a split, numbers, and words such as `images`. Two different splits
    at any depth, beside any other folder, are the parts of a data set. Without them, the first-level folders are classes, if
    every image lies in one and there are at least two.

    Args:
        paths: the paths of all images, below one folder.
        no_splits: the user named each folder, so no folder is a split.
    """
    splits: dict[str, list[list[str]]] = {}
    first_level: set[str] = set()
    for folder in sorted({path.rpartition("/")[0] for path in paths}):
        parts = folder.split("/")
        first_level.add(parts[0])
        for depth in range(len(parts), 0, -1):
            if split := _named_split(parts[depth - 1]):
                splits.setdefault(split, []).append(parts[:depth])
                break
    if len(splits) > 1 and not no_splits:
        return FolderParts({split: _pattern(folders) for split, folders in splits.items()}, None)
    return FolderParts({}, sorted(first_level) if len(first_level) > 1 and "" not in first_level else None)


def split_of(path: str) -> str | None:
    """The split that the path of a data file names (`data/train-00000-of-00002.parquet`: train), nearest to the file first."""
    for part in reversed(path.split("/")):
        for word in _words(part):
            if (split := _SPLITS.get(word)) and split not in _FURTHER:
                return split
    return None


def folder_splits(paths: Iterable[str]) -> list[str | None]:
    """The split that a folder of each path names, the deepest such folder; None without one."""
    return [next(filter(None, map(_named_split, reversed(path.split("/")[:-1]))), None) for path in paths]


def in_order(parts: Iterable[str]) -> list[str]:
    """Parts of a data set, what is trained on first; those whose names say nothing come last."""

    def place(part: str) -> tuple[int, str]:
        split = _named_split(part)
        return (ORDER.index(split) if split else len(ORDER), part)

    return sorted(parts, key=place)


def refuse_mixed_splits(spec: str, parts: FolderParts, packed: bool = False) -> None:
    """Refuse a folder of images that is a data set with its splits: pairs across them leak test images.

    Args:
        spec: the source.
        parts: of its images.
        packed: whether the folders are names inside shards or Parquet files.
    Raises:
        UsageError: it holds several splits.
    """
    if parts.splits and packed:
        raise UsageError(
            f"{spec} holds the parts {', '.join(sorted(parts.splits.values()))} of a data set, by the names of its images. "
            f"Mixing them would show test images to training. Name one of them, such as {spec}:{in_order(parts.splits)[0]}, or "
            "write each part to files of its own."
        )
    if parts.splits:
        home = spec.rstrip("/")
        likely = parts.splits.get("train") or next(iter(parts.splits.values()))
        folders = ", ".join(sorted(parts.splits.values()))
        raise UsageError(
            f"{spec} holds the parts {folders} of a data set. Mixing them would show test images to training; name one of them, "
            f"most likely {home}/{likely}. If these folders are classes, name {home}/* instead."
        )


def one_split(spec: str, paths: Iterable[str]) -> tuple[list[str], str | None]:
    """The files of one split among data files: `train` where there are several.

    Args:
        spec: the folder or repository, for the error.
        paths: its data files, below it.
    Returns:
        The chosen files, and a sentence for the user if something is left out.
    Raises:
        UsageError: there are several splits, and none is called train.
    """
    by_split = _by_split(paths)
    if len(by_split) > 1 and "train" not in by_split:
        raise UsageError(f"{spec} has several parts and none is called train. Name files: {_examples(spec, by_split)}.")
    split = "train" if "train" in by_split else next(iter(by_split))
    chosen, folder = _in_main_folder(by_split[split])
    left_out = sum(map(len, by_split.values())) - len(chosen)
    if not left_out:
        return chosen, None
    parts = ", ".join(sorted(str(name or "unnamed") for name in by_split))
    message = (
        f"{spec} has the parts {parts}; taking {split}{folder} ({counted(len(chosen), 'file')}, {left_out} left out)"
    )
    return chosen, f"{message}. To take another, name its files: {_examples(spec, by_split)}"


def split_patterns(paths: Sequence[str]) -> dict[str, str]:
    """What names the files of each split among data files, and no other: a wildcard, or braces around all of them."""
    found: dict[str, str] = {}
    for split, files in _by_split(paths).items():
        chosen, _ = _in_main_folder(files)
        pattern = _glob(chosen[0])
        if split is not None:
            named = [path for path in paths if _fits(path, pattern)]
            found[split] = pattern if named == chosen else chosen[0] if len(chosen) == 1 else f"{{{','.join(chosen)}}}"
    return found


def _by_split(paths: Iterable[str]) -> dict[str | None, list[str]]:
    by_split: dict[str | None, list[str]] = {}
    for path in paths:
        by_split.setdefault(split_of(path), []).append(path)
    return by_split


def _in_main_folder(paths: list[str]) -> tuple[list[str], str]:
    """The data files in the main one of several folders, and ` in FOLDER/`; all of them and nothing where there is none."""
    folders = sorted({path.split("/")[0] for path in paths if "/" in path})
    main = [folder for folder in folders if folder in _MAIN_FOLDERS]
    if len(folders) < 2 or not main:
        return paths, ""
    return [path for path in paths if path.startswith(f"{main[0]}/")], f" in {main[0]}/"


def _fits(path: str, pattern: str) -> bool:
    folder, _, name = path.rpartition("/")
    return folder == pattern.rpartition("/")[0] and fnmatchcase(name, pattern.rpartition("/")[2])


def missing_files(paths: Iterable[str]) -> str | None:
    """A sentence about files that are not there, though the names of others number them, as in `train-00000-of-00003.parquet`."""
    found: dict[tuple[str, int, str], set[int]] = {}
    for path in paths:
        if match := re.fullmatch(r"(.*?)(\d+)-of-(\d{1,6})(\D.*)", path, re.DOTALL):
            found.setdefault((match[1], int(match[3]), match[4]), set()).add(int(match[2]))
    for (start, total, end), numbers in found.items():
        first = int(0 not in numbers and total in numbers)
        missing = sorted({*range(first, total + first)} - numbers)
        if missing:
            return (
                f"{len(missing):,} of the {counted(total, 'file')} {start}...-of-{total}{end} are missing, the first "
                "of them number "
                f"{missing[0]}. Their images are left out"
            )
    return None


def _pattern(folders: list[list[str]]) -> str:
    """A path for folders: `*` or braces where they differ, braces around all of them if their depths differ."""
    if len({len(parts) for parts in folders}) > 1:
        return f"{{{','.join(map('/'.join, folders))}}}"
    *above, last = (list(dict.fromkeys(names)) for names in zip(*folders, strict=True))
    split = last[0] if len(last) == 1 else f"{{{','.join(last)}}}"
    return "/".join([*(names[0] if len(names) == 1 else "*" for names in above), split])


def _named_split(folder: str) -> str | None:
    """The split that the name of a folder names and nothing else."""
    words = _words(folder)
    found = {_SPLITS[word] for word in words if word in _SPLITS}
    return found.pop() if len(found) == 1 and all(word in _SPLITS or word in _BESIDE for word in words) else None


def _words(name: str) -> list[str]:
    """The words of a name in lower case, without numbers: TrainingSet_01 -> training, set."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^a-z]+", spaced.lower()) if word]


def _examples(spec: str, by_split: Mapping[str | None, Sequence[str]]) -> str:
    """One glob per split."""
    return ", ".join(sorted(f"{spec.rstrip('/')}/{_glob(paths[0])}" for paths in by_split.values()))


def _glob(path: str) -> str:
    """A wildcard for the files that are numbered as this one is; itself if it has no number."""
    folder, _, file = path.rpartition("/")
    stem, _, ending = file.rpartition(".")
    pattern = f"{re.split(r'[0-9]', stem)[0]}*.{ending}" if re.search(r"[0-9]", stem) else file
    return "/".join(part for part in (folder, pattern) if part)
