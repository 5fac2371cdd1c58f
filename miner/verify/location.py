"""The folder that is verified: local, or behind any fsspec URL. Its files are fetched when they are looked at."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from miner.artifacts.litter import is_litter
from miner.engine import explained, file_system, is_local, one_line
from miner.errors import MinerError

# Where a server lists no folders, these are tried.
_KNOWN = ("manifest.json", "run.json", "calibration.json")
_KNOWN_FOLDERS = ("", "embeddings/", "pairs/", "shards/", "report/")


class Location:
    """A folder and everything below it.

    Attributes:
        files: paths of all files below the folder, sorted.
        complete: False where the server lists no folders, so that unlisted files stay unseen.

    Args:
        scratch: an empty folder of this machine for fetched files.
    Raises:
        UsageError: there is no such folder, or the URL cannot be opened at all.
        MinerError: the server does not answer.
    """

    def __init__(self, where: str, scratch: Path) -> None:
        self.where = where.rstrip("/") or "/"
        self._system, root = file_system(self.where)
        self._root = root.rstrip("/")
        self._local = is_local(self._system)
        self._web = self.where.startswith(("http://", "https://"))
        self._scratch = scratch
        self._fetched: dict[str, Path] = {}
        self.complete = True
        found = _walk(Path(self._root)) if self._local else self._listed()
        # In order, and quick to search.
        self.files = dict.fromkeys(sorted(path for path in found if not is_litter(path)))

    def full_path(self, path: str) -> str:
        """Path or URL of a file, for messages."""
        return f"{self.where}/{path}" if path else self.where

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        if path in self.files or not self._web:
            return path in self.files
        with self._explained(path):
            return bool(self._system.exists(f"{self._root}/{path}"))

    def fetch(self, path: str) -> Path:
        """The file on this machine.

        Raises:
            MinerError: it cannot be read.
        """
        if self._local:
            return Path(self._root) / path
        if path not in self._fetched:
            target = self._scratch / f"{len(self._fetched)}-{path.rpartition('/')[2]}"
            with self._explained(path):
                self._system.get_file(f"{self._root}/{path}", str(target))
            self._fetched[path] = target
        return self._fetched[path]

    def drop(self, path: str) -> None:
        """Remove the fetched copy of a file that is not needed any more."""
        if path in self._fetched:
            self._fetched.pop(path).unlink()

    def read(self, path: str) -> bytes:
        """All bytes of a small file."""
        with self._explained(path):
            return self.fetch(path).read_bytes()

    def _listed(self) -> set[str]:
        """Every file behind a URL; where a web server lists no folders, those that are usual and exist."""
        if self._web:
            files = self._listed_by_links()
            self.complete = any(path.endswith("manifest.json") for path in files)
            # A folder with a page of its own, such as report/, is not listed either.
            tried = [folder + name for folder in _KNOWN_FOLDERS for name in _KNOWN]
            with self._explained(""):
                return files | {path for path in tried if self._system.exists(f"{self._root}/{path}")}
        with self._explained(""):
            found = self._system.find(self._root) if self._system.isdir(self._root) else []
            return {path[len(self._root) + 1 :] for path in found}

    def _listed_by_links(self) -> set[str]:
        """What the pages of a web server link to, if the server shows folders as pages."""
        try:
            found = self._system.find(self._root)
        except Exception:  # a folder may not be shown, or not exist: the files in it will tell
            return set()
        return {path[len(self._root) + 1 :] for path in found if "#" not in path and "?" not in path}

    def _explained(self, path: str) -> AbstractContextManager[None]:
        def explain(error: Exception) -> MinerError:
            missing = isinstance(error, FileNotFoundError)
            return MinerError(
                f"{self.full_path(path)} {'is missing' if missing else f'cannot be read ({one_line(error)})'}."
            )

        return explained(explain)


def _walk(root: Path, folder: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
    """Path of every file below a local folder, hidden ones too; links are followed, but not in circles."""
    here = os.path.realpath(root / folder)
    if here in above or not (root / folder).is_dir():
        return
    with os.scandir(root / folder) as listing:
        children = list(listing)
    for child in children:
        if child.is_dir():
            yield from _walk(root, f"{folder}{child.name}/", (*above, here))
        else:
            yield folder + child.name
