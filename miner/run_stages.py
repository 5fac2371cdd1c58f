"""Run one stage, or several one after another."""

import sys
import time
from contextlib import nullcontext

from miner.artifacts.workspace import Workspace
from miner.engine import Result, is_follower
from miner.options import Options
from miner.recipe import Planned
from miner.stages import STAGES


def run_stage(name: str, options: Options, workspace: Workspace, force: bool) -> Result:
    """Run one stage under the locks of the folders that it reads and writes, and log it in run.json.

    Raises:
        MinerError: another command works in one of these folders, or as the stage says.
    """
    stage = STAGES[name]
    if stage.parallel and is_follower():  # the first process holds the lock and writes the log
        return stage.run(options, workspace, force)
    writes, reads = stage.folders(options, workspace)
    with workspace.locked(writes, reads) if writes else nullcontext():
        return run_logged(name, options, workspace, force)


def run_logged(name: str, options: Options, workspace: Workspace, force: bool) -> Result:
    """Run one stage in a workspace that the caller has locked, and log it in run.json."""
    started = time.monotonic()
    result = STAGES[name].run(options, workspace, force)
    if not result.rehearsal:
        workspace.log_stage(result.stage, options.plain(), result, time.monotonic() - started)
    return result


def run_stages(planned: Planned, workspace: Workspace, force: bool, quiet: bool) -> list[Result]:
    """Run stages one after another and print what each found.

    Raises:
        MinerError: a stage failed; the later ones are not begun.
    """
    results: list[Result] = []
    for name, options in planned:
        started = time.monotonic()
        result = run_stage(name, options, workspace, force)
        results.append(result)
        if result.fresh:
            say("\n".join([*result.told, f"{name}: {time.monotonic() - started:.1f} s"]), quiet)
    return results


def say(line: str, quiet: bool) -> None:
    """Print a line for people, on standard error if standard output is for a record."""
    print(line, file=sys.stderr if quiet else sys.stdout, flush=True)
