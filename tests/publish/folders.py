"""Publishing to folders, and what is in them."""

from pathlib import Path
from subprocess import CompletedProcess

from miner.artifacts.workspace import Workspace
from miner.engine.records import Result
from miner.publish.options import PublishOptions
from miner.publish.run import publish
from tests.processes import run_command

LICENCES = {"license": "cc-by-4.0", "image_license": "mit"}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def publish_to(folder: Path, workspace: Workspace, force: bool = False, **options: object) -> Result:
    return publish(PublishOptions(to=str(folder), **{**LICENCES, **options}), workspace, force=force)


def miner_verify(folder: Path) -> CompletedProcess[str]:
    """`miner verify` as a person runs it."""
    return run_command("verify", str(folder), "--json")
