"""Publishing to folders, and what is in them."""

import subprocess
import sys
from pathlib import Path

from miner.artifacts.workspace import Workspace
from miner.engine.records import Result
from miner.publish.options import PublishOptions
from miner.publish.run import publish

LICENCES = {"license": "cc-by-4.0", "image_license": "mit"}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def publish_to(folder: Path, workspace: Workspace, force: bool = False, **options: object) -> Result:
    return publish(PublishOptions(to=str(folder), **{**LICENCES, **options}), workspace, force=force)


def miner_verify(folder: Path) -> subprocess.CompletedProcess[str]:
    """`miner verify` as a person runs it."""
    command = [sys.executable, "-m", "miner", "verify", str(folder), "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)
