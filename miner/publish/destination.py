"""Where a data set goes: a folder, or a repository of the Hugging Face Hub."""

import re
from dataclasses import dataclass
from pathlib import Path

from miner.artifacts.workspace import Workspace
from miner.errors import UsageError

_HUB = "hf://"
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)


@dataclass(frozen=True)
class Destination:
    """A folder of this machine, and the repository that the folder is uploaded to, if any."""

    folder: Path
    repository: str | None = None

    @property
    def name(self) -> str:
        """What a reader passes to `load_dataset`."""
        return self.repository or self.folder.name


def destination(to: str | None, workspace: Workspace) -> Destination:
    """The meaning of `--to`. A data set for the Hub is first written to the workspace.

    Raises:
        UsageError: `to` names neither a folder nor a data set repository.
    """
    if to is None:
        return Destination(workspace.published)
    if to.startswith(_HUB):
        repository = to.removeprefix(_HUB).removeprefix("datasets/").rstrip("/")
        if not _REPOSITORY.fullmatch(repository):
            raise UsageError(f"--to {to}: write hf://ORG/NAME, with letters, digits, '.', '_' and '-'.")
        return Destination(workspace.published, repository)
    if "://" in to:
        raise UsageError(f"--to {to}: publish writes to a folder of this machine or to hf://ORG/NAME.")
    return Destination(Path(to).expanduser())
