"""Workspaces to export, and what an export wrote."""

import hashlib
from pathlib import Path

import webdataset

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs

BAND = {"min": 0.3, "max": 0.999}


def mine(folder: Path, root: Path) -> Workspace:
    made = Workspace(root)
    embed(EmbedOptions(source=str(folder)), made)
    pairs(PairsOptions(**BAND), made)
    return made


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def samples(folder: Path, pattern: str) -> list[dict]:
    """As webdataset reads them."""
    shards = sorted(str(path) for path in folder.glob(f"{pattern}-*.tar"))
    return list(webdataset.WebDataset(shards, shardshuffle=False))
