"""Weights that a run starts from instead of random ones."""

from dataclasses import dataclass
from pathlib import Path

from miner.artifacts.runs.manifest import BACKBONE_FILE, RunManifest
from miner.artifacts.workspace import Workspace
from miner.engine import file_record
from miner.errors import UsageError


@dataclass(frozen=True)
class InitialWeights:
    """A file with the weights of a backbone.

    Attributes:
        file: the file to read.
        sha256: the SHA-256 of its bytes.
    """

    file: Path
    sha256: str


def find_initial_weights(asked: str | None, workspace: Workspace, folder: Path) -> InitialWeights | None:
    """The file that `--init-from` names.

    Args:
        asked: the name of a run of the workspace, the folder of a run, or a file of weights.
        folder: the folder of the run that will start.
    Raises:
        UsageError: there is no such file, its run has not finished, or it is the run itself.
    """
    if asked is None:
        return None
    place = Path(asked)
    run = next((each for each in (workspace.run(asked), place) if each.is_dir()), None)
    file = place if run is None else run / BACKBONE_FILE
    if run is not None and run.resolve() == folder.resolve():
        raise UsageError(
            f"--init-from {asked} is this very run. Give the new run another --name. To continue an interrupted run, leave "
            "--init-from as it was and run the same command."
        )
    if run is not None and RunManifest.find(run) is None:
        raise UsageError(f"--init-from {asked}: that run has not finished. Run its `miner train` command again first.")
    if not file.is_file():
        raise UsageError(f"--init-from {asked}: there is no such run in {workspace.root / 'runs'}, and no such file.")
    return InitialWeights(file, file_record(file)["sha256"])
