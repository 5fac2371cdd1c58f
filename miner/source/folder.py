"""A folder of images. Its subfolders name the classes, if every image lies in a subfolder."""

from collections.abc import Mapping

from miner.engine import is_local
from miner.errors import MinerError
from miner.source.base import Entry, LeftOut, as_os_error, check_size
from miner.source.keys import hashed_key, printable
from miner.source.kinds import (
    SNIFFED_BYTES,
    count_endings,
    ending,
    image_extension,
    image_extensions,
    sniffed_extension,
)
from miner.source.listing import FileFacts, list_files
from miner.source.location import locate, url_of
from miner.source.reading import read_local, read_start
from miner.source.splits import folder_parts, refuse_mixed_splits
from miner.text import counted


class FolderSource:
    """Images below a local folder or fsspec URL, recursively, sorted by path, without hidden files.

    Attributes:
        tables: URLs of the CSV and TSV files beside the images, not of those in subfolders.

    Args:
        spec: the name of the source.
        listing: the files below the folder, by path; None lists the folder.
        folder: the folder, if `spec` is a pattern. What a pattern names is read as it is, splits or not.
    Raises:
        UsageError: the folder holds several splits of a data set.
        MinerError: there is no image below the folder.
    """

    def __init__(self, spec: str, listing: Mapping[str, FileFacts] | None = None, folder: str | None = None) -> None:
        self.spec = spec
        self._files, root = locate(folder or spec)
        self._local = is_local(self._files)
        self._root = root.rstrip("/")
        listing = list_files(spec) if listing is None else listing
        extensions = {path: found for path in listing if (found := self._extension(path))}
        if not extensions:
            raise MinerError(_no_image(spec, listing))
        parts = folder_parts(extensions, no_splits=folder is not None)
        refuse_mixed_splits(spec, parts)
        number = {name: label for label, name in enumerate(parts.classes or [])}
        self.classes = [printable(name) for name in parts.classes] if parts.classes else None
        self.tables = [
            url_of(self._files, f"{self._root}/{path}")
            for path in listing
            if "/" not in path and ending(path) in ("csv", "tsv")
        ]
        self.left_out = LeftOut(count_endings(path for path in listing if path not in extensions))
        self.entries = [
            Entry(
                key=hashed_key(path),
                path=printable(path),
                extension=extension,
                size_bytes=listing[path].size_bytes,
                label=number.get(path.split("/")[0]),
                locator=f"{self._root}/{path}",
                version=listing[path].version,
            )
            for path, extension in extensions.items()
        ]

    def read(self, entry: Entry) -> bytes:
        check_size(entry.size_bytes)
        if self._local:
            return read_local(entry.locator, entry.size_bytes)
        with as_os_error(entry.path):
            return self._files.cat_file(entry.locator)  # type: ignore[no-any-return]

    def _extension(self, path: str) -> str:
        """By its ending, or by its first bytes if it has none; "" for a file that is no image."""
        if ending(path):
            return image_extension(path)
        return sniffed_extension(read_start(self._files, f"{self._root}/{path}", SNIFFED_BYTES))


def _no_image(spec: str, listing: Mapping[str, FileFacts]) -> str:
    """Why a folder is no source, and what helps."""
    names = {path.rpartition("/")[2] for path in listing}
    if not names.isdisjoint({"state.json", "dataset_dict.json"}) and any(name.endswith(".arrow") for name in names):
        return (
            f"{spec} was written by save_to_disk of the datasets library, which miner does not read. Write Parquet from it: "
            "datasets.load_from_disk(FOLDER).to_parquet(FILE), for one split, and name that file."
        )
    counts = count_endings(listing).most_common(3)
    found = f": {', '.join(f'{name} {count}' for name, count in counts)}" if counts else ""
    return (
        f"No image below {spec} ({counted(len(listing), 'file')} looked at{found}; known endings: {' '.join(image_extensions())}). "
        "Check the path, or name WebDataset shards as FOLDER/NAME-{000000..000009}.tar."
    )
