"""Image files of a fetched data set, listed with their labels."""

from collections.abc import Sequence
from pathlib import Path

from miner.source.base import Entry, LeftOut, check_size
from miner.source.keys import hashed_key


class FileListSource:
    """Labelled image files below one folder.

    Args:
        spec: what the user typed.
        folder: that contains the files.
        files: path below the folder, label and size in bytes of each.
        classes: class names by label.
        name: replaces the folder in the entries' paths.
    """

    def __init__(
        self, spec: str, folder: Path, files: Sequence[tuple[str, int, int]], classes: list[str] | None, name: str
    ) -> None:
        self.spec = spec
        self.classes = classes
        self.left_out = LeftOut()
        self.entries = [
            Entry(
                key=hashed_key(path),
                path=f"{name}/{path}",
                extension=path.rpartition(".")[2].lower(),
                size_bytes=size_bytes,
                label=label,
                locator=folder / path,
            )
            for path, label, size_bytes in files
        ]

    def read(self, entry: Entry) -> bytes:
        check_size(entry.size_bytes)
        path: Path = entry.locator
        return path.read_bytes()
