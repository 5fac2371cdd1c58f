"""One cell of the grid: an arm that is trained with one seed and evaluated."""

import os
import sys
from pathlib import Path

from miner.artifacts.workspace import Workspace
from miner.engine import Record, write_json
from miner.errors import MinerError
from miner.run_stages import run_logged
from miner.study.plan import ArmRun


def run_cell(run: ArmRun, failed_before: str | None, force: bool, path: Path) -> None:
    """Train and evaluate, or skip what is finished, and write a record as JSON.

    A failure is written as `error` of the record, so that the other cells go on.

    Args:
        run: arm, seed and options.
        failed_before: error of the preparation of the workspace, if there was one.
        force: replace what another request made.
        path: of the record.
    """
    print(f"study: arm {run.number} of {run.arms}, seed {run.seed}: {run.arm}", file=sys.stderr, flush=True)
    found: Record
    if failed_before is not None:
        found = {"error": failed_before}
    else:
        try:
            found = _measured(run, force)
        except Exception as error:  # of any kind: the other arms must not be lost
            if os.environ.get("MINER_DEBUG"):
                raise
            found = {"error": str(error) if isinstance(error, MinerError) else f"{type(error).__name__}: {error}"}
    write_json(path, {"arm": run.arm, "seed": run.seed, "run": run.name, "workspace": run.workspace.name, **found})


def _measured(run: ArmRun, force: bool) -> Record:
    workspace = Workspace(run.workspace)
    trained = run_logged("train", run.train, workspace, force).record
    knn = run_logged("eval knn", run.knn, workspace, force).record
    return {
        **{name: trained.get(name) for name in ("pairs_arm", "steps", "pairs", "pair_label_precision", "pair_images")},
        "knn": [
            {name: result[name] for name in ("k", "temperature", "trained", "random")} for result in knn["results"]
        ],
        **{name: knn[name] for name in ("gallery", "n_gallery", "test", "n_test")},
    }
