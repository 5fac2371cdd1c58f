"""What a release changed since the one before it, in words and as JSON.

The manifest of the earlier release and its tables are still in the folder when a new release is begun. What changed is therefore a
part of the request: a run that is killed while it replaces files finds it there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from miner.artifacts.parquet import read_columns
from miner.artifacts.stage_folder import request_of
from miner.engine import Record
from miner.publish.contents import DATA

CHANGES = "changes.json"
_KINDS = ("added", "removed", "changed", "kept")
_SHOWN = 20  # keys of a list


@dataclass(frozen=True)
class Release:
    """A release to be written.

    Attributes:
        history: what this release and those before it changed, the latest first.
        replaces: whether the folder holds the release before it.
    """

    history: Sequence[Record] = ()
    replaces: bool = False


def read_release(folder: Path, shards: Path, name: str, number: str, content: str) -> Release:
    """The release of a data set as the successor of what is in the folder.

    Args:
        folder: the target, which may hold an earlier release of the data set `name`.
        shards: the folder of the export that will be published; `content` is the fingerprint of its manifest.
    Raises:
        MinerError: a table of either is missing or damaged.
    """
    old = request_of(folder) if folder.is_dir() else None
    if old is None or old.get("stage") != "publish" or old.get("name") != name:
        return Release()
    begun = old.get("next") or {}
    if (begun.get("release"), begun.get("shards")) == (number, content):  # killed while it removed the old files
        return Release(begun["history"], replaces=True)
    history = old.get("history", [])
    if (old["release"], old["shards"]) == (number, content):
        return Release(history)
    before = [entry for entry in history if _parts(entry["release"]) < _parts(number)]
    if _parts(number) <= _parts(old["release"]) or not (folder / "manifest.json").exists():
        return Release(before)
    return Release([_changes(folder / DATA, shards, old["release"], number), *before], replaces=True)


def in_words(entry: Record) -> str:
    """What a release changed."""
    pairs, images = (
        ", ".join(f"{counts[what]['count']:,} {what}" for what in _KINDS if what in counts)
        for counts in (entry["pairs"], entry["images"])
    )
    return f"{entry['release']}, since {entry['since']}: pairs: {pairs}; images: {images}"


def _parts(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


def _changes(old: Path, new: Path, since: str, release: str) -> Record:
    pairs = [_joined(folder / "pairs.parquet", ("key_a", "key_b")) for folder in (old, new)]
    keys = [_joined(folder / "images.parquet", ("key",)) for folder in (old, new)]
    contents = [_joined(folder / "images.parquet", ("key", "sha256")) for folder in (old, new)]
    images = _compared(*keys)
    same = _compared(*contents)["kept"]["count"]
    images["changed"] = {"count": images["kept"]["count"] - same}
    images["kept"] = {"count": same}
    return {"release": release, "since": since, "pairs": _compared(*pairs), "images": images}


def _joined(path: Path, columns: tuple[str, ...]) -> pa.ChunkedArray:
    """The values of each row as one text."""
    table = read_columns(path, columns, "miner export")
    return pc.binary_join_element_wise(*(table[name] for name in columns), " ")


def _compared(old: pa.ChunkedArray, new: pa.ChunkedArray) -> Record:
    """How many values were added, removed and kept, with the first ones of those that differ."""
    added, removed = (some.filter(pc.invert(pc.is_in(some, other))) for some, other in ((new, old), (old, new)))
    kept = len(new) - len(added)
    lists = {"added": added, "removed": removed}
    shown = {what: {"count": len(values), "first": values[:_SHOWN].to_pylist()} for what, values in lists.items()}
    return {**shown, "kept": {"count": kept}}
