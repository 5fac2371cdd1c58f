"""A folder of images; the first level of subfolders names the classes, if every image lies in one."""

from pathlib import PurePosixPath
from typing import Any

import fsspec

from miner.errors import MinerError
from miner.source.base import IMAGE_EXTENSIONS, Entry
from miner.source.keys import hashed_key


class FolderSource:
    """Images below a local folder or fsspec URL, recursively, sorted by path; hidden files are left out.

    Raises:
        MinerError: there is no image below the folder.
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self._files, root = fsspec.core.url_to_fs(spec)
        root = root.rstrip("/")
        found: dict[str, dict[str, Any]] = self._files.find(root, detail=True)
        relative = {path[len(root) + 1 :]: info for path, info in found.items()}
        paths = sorted(path for path in relative if _is_image(path))
        if not paths:
            raise MinerError(
                f"No image below {spec} ({len(found)} files looked at; known endings: {' '.join(IMAGE_EXTENSIONS)}). "
                "Check the path, or name WebDataset shards as FOLDER/NAME-{000000..000009}.tar."
            )
        self.classes = _class_names(paths)
        self.entries = [self._entry(path, int(relative[path].get("size") or 0), root) for path in paths]

    def _entry(self, path: str, size_bytes: int, root: str) -> Entry:
        label = self.classes.index(path.split("/")[0]) if self.classes else None
        extension = path.rpartition(".")[2].lower()
        return Entry(hashed_key(path), path, extension, size_bytes, label, f"{root}/{path}")

    def read(self, entry: Entry) -> bytes:
        return self._files.cat_file(entry.locator)  # type: ignore[no-any-return]


def _is_image(path: str) -> bool:
    hidden = any(part.startswith(".") for part in PurePosixPath(path).parts)
    return not hidden and path.rpartition(".")[2].lower() in IMAGE_EXTENSIONS


def _class_names(paths: list[str]) -> list[str] | None:
    """Subfolder names, when every image lies in a subfolder and there are at least two of them."""
    if any("/" not in path for path in paths):
        return None
    names = sorted({path.split("/")[0] for path in paths})
    return names if len(names) > 1 else None
