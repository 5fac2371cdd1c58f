"""From what the user typed to a source."""

import os.path
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from miner.engine import explained, is_local
from miner.errors import MinerError, UsageError
from miner.source.base import LeftOut, Source
from miner.source.folder import FolderSource
from miner.source.foreign import foreign_file
from miner.source.kinds import count_endings, ending, image_extension
from miner.source.listing import FileFacts, file_facts, list_files, warn
from miner.source.location import (
    canonical,
    hub_error,
    is_hub,
    is_local_folder,
    is_pattern,
    local_path,
    locate,
    named_part,
    url_of,
)
from miner.source.named.builtin import BUILTIN, named_parts, open_builtin
from miner.source.parquet.reader import ParquetSource, is_parquet
from miner.source.parts import PartOfSource, parts_inside
from miner.source.patterns import expand
from miner.source.splits import ORDER, folder_parts, missing_files, one_split, refuse_mixed_splits, split_patterns
from miner.source.webdataset.exported import read_export
from miner.source.webdataset.shards import ShardSource, is_shards
from miner.text import counted

# Beside shards or Parquet files that hold ten times as much, images are decoration: a logo, a sample.
_DECORATION = 10
# Files beside shards or Parquet files that may hold images too. Miner cannot read them.
_DATA = frozenset(
    (
        *("zip", "gz", "bz2", "tbz2", "xz", "txz", "zst", "7z", "rar"),
        *("arrow", "tfrecord", "tfrecords", "h5", "hdf5", "npz", "mdb", "lmdb", "beton"),
    )
)


def open_source(spec: str, image_column: str | None = None, label_column: str | None = None) -> Source:
    """Open SOURCE: a folder, WebDataset shards, Parquet files, or a name such as `sample` or `cifar10`.

    Paths may be local or any fsspec URL; `hf://datasets/ORG/NAME` is a repository of the Hugging Face Hub. SOURCE:PART names a
    part whose images lie among those of others (`miner.source.parts`). A local folder
    wins over a built-in name when it is written as a path (./sample). A file or folder wins over a pattern of the same name.

    Args:
        spec: what the user typed.
        image_column, label_column: the columns of Parquet files, where the user chose them; see `find_columns`.
    Raises:
        UsageError: it is none of these, or a whole data set where one of its parts has to be named.
        MinerError: it is there, but holds no usable image; or it cannot be reached.
    """
    if spec in BUILTIN:
        return open_builtin(spec)
    if not (local_path(spec) or "").strip() and "://" not in spec.strip("/:"):
        raise UsageError("SOURCE is empty. Name a folder, shards, Parquet files, or a data set.")
    with explained(partial(_cannot_open, spec)):
        whole, part = named_part(spec)
        source = _Opener(whole, canonical(whole), image_column, label_column, mixed=part is not None).open()
        return source if part is None else PartOfSource(source, part)


def parts_of(spec: str) -> list[str]:
    """The parts of a data set with splits, each as SOURCE, what is trained on first; empty if there are not two.

    Raises:
        MinerError: it cannot be read.
    """
    if spec in BUILTIN:
        parts = named_parts(spec)
    else:
        with explained(partial(_cannot_open, spec)):
            parts = _Opener(spec, canonical(spec), None, None).parts()
    return parts if len(parts) > 1 else []


def _cannot_open(spec: str, error: Exception) -> Exception:
    if is_hub(spec):
        return hub_error(spec, error)
    if "://" not in spec and not isinstance(error, OSError | ImportError | ValueError):
        return error
    return MinerError(f"The source {spec} cannot be opened: {error or type(error).__name__}")


@dataclass(frozen=True)
class _Opener:
    """A source to be opened: what the user typed, its canonical name, and the columns that the user chose.

    Attributes:
        mixed: whether files may hold several parts of a data set.
    """

    typed: str
    spec: str
    image_column: str | None
    label_column: str | None
    mixed: bool = False

    def open(self) -> Source:
        spec = self.spec
        if _is_folder(spec):
            return self._folder()
        kind = "shard" if is_shards(spec) else "Parquet file" if is_parquet(spec) else "file"
        if kind == "file" and not is_pattern(spec):
            files, path = locate(spec)
            raise UsageError(
                f"{spec} is a file that miner cannot read{foreign_file(spec)}. Name a folder of images, .tar shards, or .parquet "
                "files."
                if files.exists(path)
                else f"There is no source {self.typed!r}: no such folder or file, and not one of {', '.join(sorted(BUILTIN))}."
            )
        return self._named(expand(spec, kind))

    def parts(self) -> list[str]:
        """The parts of a data set with splits, by its folders, its files, or what is in these."""
        splits: dict[str, str] = {}
        if _is_folder(self.spec):
            home = f"{self.typed.rstrip('/')}/"
            kind, chosen, _ = self._content(list_files(self.spec))
            splits = folder_parts(chosen).splits if kind == "images" else split_patterns(chosen)
        elif is_pattern(self.spec):
            names = expand(self.typed, "file")
            home = f"{folder}/" if (folder := _common_folder(names)) else ""
            splits = split_patterns([name.removeprefix(home) for name in names])
        if len(splits) > 1:
            return [f"{home}{splits[split]}" for split in ORDER if split in splits]
        return [f"{self.typed}:{part}" for part in parts_inside(replace(self, mixed=True).open())]

    def _folder(self) -> Source:
        spec, listing = self.spec, list_files(self.spec)
        if is_hub(spec) and not listing:
            raise FileNotFoundError(spec)
        kind, chosen, others = self._content(listing)
        if kind == "images":
            return self._images(listing)
        return (self._shards if kind == "shards" else self._tables)(_below(spec, chosen), others)

    def _content(
        self, listing: dict[str, FileFacts]
    ) -> tuple[Literal["images", "shards", "tables"], list[str], list[str]]:
        """What a folder is: images; or the Parquet files or shards in it, if it holds no images that matter beside them.

        Returns:
            The kind, its files, and other files that may hold images.
        """
        spec = self.spec
        shards = [path for path in listing if is_shards(path)]
        tables = [path for path in listing if is_parquet(path)]
        images = [path for path in listing if image_extension(path)]
        others = images + [path for path in listing if ending(path) in _DATA and not is_shards(path)]
        tar_bytes, table_bytes, image_bytes = (
            sum(listing[path].size_bytes for path in paths) for paths in (shards, tables, images)
        )
        flat = not any("/" in path for path in listing)
        # Images beside archives of themselves are usual on a disk, but not in a repository or an export.
        decoration = not images or (
            image_bytes * _DECORATION < tar_bytes and (is_hub(spec) or _holds_export(spec, shards))
        )
        # An export has tables about its images, and a published one repeats them in a table of pairs.
        exported = bool(shards and tables) and _holds_export(spec, shards)
        if shards and (flat or (decoration and (exported or tar_bytes >= table_bytes))):
            # img2dataset writes a table about each shard.
            about = tables if exported else _beside(tables, shards)
            return "shards", _without_pairs(shards), [*others, *(set(tables) - set(about))]
        if not images and "embeddings/manifest.json" in listing:
            raise UsageError(
                f"{spec} is a workspace of miner. Name the source of its images, or {spec}/shards after `miner export`."
            )
        if tables and image_bytes * _DECORATION < table_bytes:
            return "tables", tables, [*others, *shards]
        return "images", images, []

    def _named(self, names: Sequence[str]) -> Source:
        """The files or folders that a spec names."""
        files = {name for name in names if not _is_folder(name)}
        if shards := [name for name in names if name in files and is_shards(name)]:
            return self._shards(self._one_split(shards))
        if tables := [name for name in names if name in files and is_parquet(name)]:
            return self._tables(self._one_split(tables))
        home = _common_folder([name if name in files else f"{name}/" for name in names])
        listing: dict[str, FileFacts] = {}
        for name in names:
            below = name.removeprefix(home).lstrip("/")
            if name in files:
                listing[below] = file_facts(name)
            else:
                listing |= {f"{below}/{path}".lstrip("/"): facts for path, facts in list_files(name).items()}
        if not any(image_extension(path) for path in listing):
            raise UsageError(
                f"{self.spec} names {counted(len(names), 'file')}, and none is an image, a .tar shard or a .parquet file."
            )
        return self._images(dict(sorted(listing.items())), home)

    def _one_split(self, urls: list[str]) -> list[str]:
        """Wildcards name one split, as a folder does; braces name what the user lists."""
        if not any(sign in self.spec for sign in "*?["):
            return urls
        home = _common_folder(urls)
        chosen = set(_one_split(home, [url.removeprefix(f"{home}/") for url in urls]))
        return [url for url in urls if url.removeprefix(f"{home}/") in chosen]

    def _shards(self, urls: Sequence[str], others: Iterable[str] = ()) -> Source:
        self._refuse_columns()
        source = ShardSource(self.spec, urls=urls)
        self._refuse_mixed(source)
        source.left_out = replace(source.left_out, files=source.left_out.files + count_endings(others))
        return source

    def _tables(self, urls: Sequence[str], others: Iterable[str] = ()) -> Source:
        source = ParquetSource(self.spec, urls, self.image_column, self.label_column)
        self._refuse_mixed(source)
        source.left_out = LeftOut(count_endings(others), source.left_out.labels)
        return source

    def _images(self, listing: dict[str, FileFacts], home: str | None = None) -> Source:
        self._refuse_columns()
        return FolderSource(self.spec, listing, home)

    def _refuse_mixed(self, source: Source) -> None:
        if not self.mixed:
            refuse_mixed_splits(self.spec, folder_parts(entry.path for entry in source.entries), packed=True)

    def _refuse_columns(self) -> None:
        if self.image_column or self.label_column:
            raise UsageError(f"--image-column and --label-column are for Parquet files, and {self.spec} names none.")


def _is_folder(spec: str) -> bool:
    files, path = locate(spec)
    if is_local(files):
        return is_local_folder(path)
    if is_pattern(path):
        return False
    if is_hub(spec) and not is_shards(spec) and not is_parquet(spec):
        return True
    try:
        return bool(files.info(path)["type"] == "directory")
    except FileNotFoundError:
        return False


def _common_folder(names: Sequence[str]) -> str:
    """The deepest folder that contains all files; a name with a slash at its end is a folder."""
    return os.path.commonprefix(names).rpartition("/")[0]  # noqa: RUF071  -- it is cut to whole names here


def _without_pairs(shards: list[str]) -> list[str]:
    """Shards without `pairs-*.tar` where `images-*.tar` and nothing else lies beside them, as an export is."""
    names: dict[str, set[str]] = {}
    for path in shards:
        names.setdefault(path.rpartition("/")[0], set()).add(path.rpartition("/")[2].partition("-")[0])
    exports = {folder for folder, kinds in names.items() if kinds == {"images", "pairs"}}
    return [path for path in shards if path.rpartition("/")[0] not in exports or "/pairs-" not in f"/{path}"]


def _beside(tables: Iterable[str], shards: Iterable[str]) -> list[str]:
    """The tables that have the name of a shard."""
    stems = {path.rpartition(".")[0] for path in shards}
    return [path for path in tables if path.rpartition(".")[0] in stems]


def _holds_export(spec: str, shards: Iterable[str]) -> bool:
    files, root = locate(spec)
    urls = [url_of(files, f"{root.rstrip('/')}/{path}") for path in shards]
    exports = [read_export(folder) for folder in dict.fromkeys(url.rpartition("/")[0] for url in urls)]
    return any(export is not None for export in exports)


def _below(spec: str, paths: Iterable[str]) -> list[str]:
    """The files of one split below a folder, as local paths or URLs."""
    files, root = locate(spec)
    return [url_of(files, f"{root.rstrip('/')}/{path}") for path in _one_split(spec, paths)]


def _one_split(home: str, paths: Iterable[str]) -> list[str]:
    chosen, message = one_split(home, paths)
    if message:
        warn(message)
    if missing := missing_files(chosen):
        warn(f"{home} is not whole: {missing}")
    return chosen
