"""Files that systems and editors leave behind are told from those of a stage."""

from pathlib import Path

import pytest

from miner.artifacts.litter import is_litter
from miner.artifacts.stage_folder import Stage

LITTER = (
    *(
        ".DS_Store",
        "Thumbs.db",
        "ehthumbs.db",
        "thumbs.DB",
        "desktop.ini",
        "Desktop.ini",
        "._manifest.json",
        ".directory",
    ),
    *(
        ".nfs000000000a1b2c3d00000001",
        ".fuse_hidden0000002a00000001",
        ".manifest.json.swp",
        ".x.swo",
        "notes.txt~",
        "#x#",
    ),
    *(
        ".#manifest.json",
        "__MACOSX/._a.json",
        "@eaDir/a@SynoEXIF",
        ".Trash-1000/files/a.npy",
        ".ipynb_checkpoints/a.json",
    ),
)


@pytest.mark.parametrize("name", LITTER)
def test_litter_is_known_in_any_folder(name: str) -> None:
    assert is_litter(name) and is_litter(f"a/b/{name}")


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        ".lock",
        "thumbs.db.parquet",
        "x.DS_Store",
        "nfs1.json",
        ".hidden.tar",
        "desktop.ini/a.npy",
        "a.swp",
        "~a",
    ],
)
def test_other_names_are_not_litter(name: str) -> None:
    assert not is_litter(name) and not is_litter(f"a/{name}")


def test_folder_with_litter_alone_is_free(tmp_path: Path) -> None:
    for name in LITTER:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\0")
    Stage(tmp_path, {"k": 1}).begin(force=False)
