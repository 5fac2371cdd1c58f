"""The folder that is verified: local, or behind any fsspec URL. Its files are fetched when they are looked at."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from posixpath import normpath
from urllib.parse import unquote, urljoin

from miner.artifacts.litter import is_litter
from miner.engine import explained, file_system, is_local, one_line
from miner.errors import MinerError

# Where a server lists no folders, these are tried.
_KNOWN = ("manifest.json", "run.json", "calibration.json")
_KNOWN_FOLDERS = ("", "embeddings/", "pairs/", "shards/", "report/")

# What an honest server stays below.
_LARGEST_RECORD_BYTES = 1 << 28
_LARGEST_PAGE_BYTES = 1 << 24
_MOST_FOLDERS, _DEEPEST_FOLDER = 2_000, 16
_LISTING_S = 300
_PATIENCE_S, _LEAST_BYTES_PER_S = 60, 10_000
_CHUNK_BYTES = 1 << 20
_LINK = re.compile(r"""<a\s[^>]*?href=["']([^"']+)""", re.IGNORECASE)


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
        self._streams = self._web or self.where.startswith("hf://")
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

    def fetch(self, path: str, most_bytes: int | None = None) -> Path:
        """The file on this machine; of a longer one, one byte more than `most_bytes`, which are those of a record by default.

        Raises:
            MinerError: it cannot be read, arrives too slowly, or is larger than the free part of the temporary folder.
        """
        if self._local:
            return Path(self._root) / path
        if path not in self._fetched:
            most_bytes = _LARGEST_RECORD_BYTES if most_bytes is None else most_bytes
            if most_bytes > (free := shutil.disk_usage(self._scratch).free):
                raise MinerError(
                    f"{self.full_path(path)} may have {most_bytes:,} bytes, and {free:,} are free in {self._scratch.parent}. "
                    "Set TMPDIR to a larger folder, or verify a copy on this machine."
                )
            target = self._scratch / f"{len(self._fetched)}-{path.rpartition('/')[2][-100:]}"
            with self._explained(path), target.open("wb") as copy:
                for chunk in self._chunks(f"{self._root}/{path}", most_bytes + 1):
                    copy.write(chunk)
            self._fetched[path] = target
        return self._fetched[path]

    def _chunks(self, url: str, most_bytes: int) -> Iterator[bytes]:
        """The bytes of a file, `most_bytes` at most.

        Raises:
            TimeoutError: they arrive too slowly.
        """
        started, left = time.monotonic(), most_bytes
        streamed = {"block_size": 0} if self._streams else {}
        with self._system.open(url, "rb", **streamed) as stream:
            while left > 0 and (chunk := stream.read(min(left, _CHUNK_BYTES))):
                yield chunk
                left -= len(chunk)
                allowed_s = _PATIENCE_S + (most_bytes - left) / _LEAST_BYTES_PER_S
                if time.monotonic() - started > allowed_s:
                    raise TimeoutError(f"only {most_bytes - left:,} bytes came in {allowed_s:.0f} s")

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
        """What the pages of a web server link to, if the server shows folders as pages.

        Raises:
            MinerError: there are more folders, or deeper ones, than any result of miner has; or the pages come too slowly.
        """
        files: set[str] = set()
        folders, ends = [""], time.monotonic() + _LISTING_S
        for number, folder in enumerate(folders):
            if number >= _MOST_FOLDERS or folder.count("/") > _DEEPEST_FOLDER or time.monotonic() > ends:
                raise MinerError(
                    f"{self.where} lists more folders than verify follows ({_MOST_FOLDERS:,} folders, {_DEEPEST_FOLDER} deep, in "
                    f"{_LISTING_S} s). Name the folder of one stage, or verify a copy on this machine."
                )
            try:
                page = b"".join(self._chunks(f"{self._root}/{folder}", _LARGEST_PAGE_BYTES)).decode("utf-8", "replace")
            except Exception:  # a folder may not be shown, or not exist: the files in it will tell
                continue
            for target in _LINK.findall(page):
                name = self._below(folder, target)
                if name.endswith("/") and name not in folders:
                    folders.append(name)
                elif name and not name.endswith("/"):
                    files.add(name)
        return files

    def _below(self, folder: str, target: str) -> str:
        """The path of what a page of a folder links to, if it lies below that folder; otherwise ""."""
        home = f"{self._root}/"
        path = unquote(urljoin(f"{home}{folder}", target).removeprefix(f"{home}{folder}"))
        if not path or any(sign in path for sign in "?#:") or normpath(f"/{path}") != f"/{path}".rstrip("/"):
            return ""
        return folder + path

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
