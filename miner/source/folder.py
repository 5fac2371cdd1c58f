"""A folder of images. Its subfolders name the classes, if every image lies in a subfolder."""

from collections.abc import Mapping

import fsspec

from miner.errors import MinerError
from miner.source.base import IMAGE_EXTENSIONS, Entry, as_os_error, check_size
from miner.source.keys import hashed_key, printable
from miner.source.listing import list_files
from miner.source.reading import read_local


class FolderSource:
    """Images below a local folder or fsspec URL, recursively, sorted by path, without hidden files.

    Args:
        spec: the folder.
        listing: sizes in bytes of the files below it, by path; None lists the folder.
    Raises:
        MinerError: there is no image below the folder.
    """

    def __init__(self, spec: str, listing: Mapping[str, int] | None = None) -> None:
        self.spec = spec
        self._files, root = fsspec.core.url_to_fs(spec)
        self._local = isinstance(self._files, fsspec.get_filesystem_class("file"))
        root = root.rstrip("/")
        listing = list_files(spec) if listing is None else listing
        paths = [path for path in listing if is_image(path)]
        if not paths:
            raise MinerError(
                f"No image below {spec} ({len(listing)} files looked at; known endings: {' '.join(IMAGE_EXTENSIONS)}). "
                "Check the path, or name WebDataset shards as FOLDER/NAME-{000000..000009}.tar."
            )
        names = _class_names(paths)
        number = {name: label for label, name in enumerate(names or [])}
        self.classes = [printable(name) for name in names] if names else None
        self.entries = [
            Entry(
                key=hashed_key(path),
                path=printable(path),
                extension=_ending(path),
                size_bytes=listing[path],
                label=number.get(path.split("/")[0]),
                locator=f"{root}/{path}",
            )
            for path in paths
        ]

    def read(self, entry: Entry) -> bytes:
        check_size(entry.size_bytes)
        if self._local:
            return read_local(entry.locator, entry.size_bytes)
        with as_os_error(entry.path):
            return self._files.cat_file(entry.locator)  # type: ignore[no-any-return]


def is_image(path: str) -> bool:
    """Whether a file has the ending of an image."""
    return _ending(path) in IMAGE_EXTENSIONS


def _ending(path: str) -> str:
    return path.rpartition(".")[2].lower()


def _class_names(paths: list[str]) -> list[str] | None:
    """The names of the subfolders, if every image lies in one and there are at least two."""
    if any("/" not in path for path in paths):
        return None
    names = sorted({path.split("/")[0] for path in paths})
    return names if len(names) > 1 else None
