"""Labelled images on disk."""

from pathlib import Path

from tests.train.mini_workspace import sample_entries


def class_folders(root: Path, names: dict[int, str], skip: int = 0) -> str:
    """The sample's images of some classes, as class folders."""
    source, entries = sample_entries(200)
    for entry in entries[skip:]:
        if entry.label in names:
            target = root / names[entry.label] / f"{entry.key}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read(entry))
    return str(root)
