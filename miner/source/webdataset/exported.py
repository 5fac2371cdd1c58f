"""Shards that `miner export` or `miner publish` wrote: the manifest beside them names their classes and their pair shards."""

import json
from typing import NamedTuple

from miner.source.location import locate

_MOST_BYTES = 64 << 20


class Export(NamedTuple):
    """What the manifest of an export says.

    Attributes:
        classes: names by label; None if the images had none.
        shards: names of the files beside the manifest.
    """

    classes: list[str] | None
    shards: frozenset[str]

    def lists(self, url: str) -> bool:
        """Whether a shard beside the manifest belongs to the export."""
        return url.rpartition("/")[2] in self.shards

    def holds_pairs(self, url: str) -> bool:
        """Whether a shard of the export holds pairs."""
        return not url.rpartition("/")[2].startswith("images-")


def read_export(folder: str) -> Export | None:
    """The export in a folder; None if the folder has no manifest of an export.

    Args:
        folder: a local path or a URL.
    """
    try:
        files, path = locate(f"{folder}/manifest.json")
        with files.open(path, "rb") as stream:
            manifest = json.loads(stream.read(_MOST_BYTES))
        names = frozenset(name for name in manifest["files"] if name.endswith(".tar"))
        if not names or not names >= manifest["samples"].keys() or "miner_version" not in manifest:
            return None
    except Exception:  # whatever a store raises, and whatever a file of this name may hold
        return None
    classes = manifest.get("classes")
    named = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    return Export(classes if named else None, names)
