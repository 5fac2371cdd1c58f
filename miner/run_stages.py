"""Stages one after another, each skipped when it is done."""

import sys
import time

from miner.artifacts.workspace import Workspace
from miner.engine.result import Result
from miner.recipe import Planned
from miner.stages import run_stage


def run_stages(planned: Planned, target: Workspace, force: bool, quiet: bool) -> list[Result]:
    """Run stages one after another and say what each found.

    Raises:
        MinerError: a stage failed; the later ones are not begun.
    """
    results: list[Result] = []
    for name, options in planned:
        started = time.monotonic()
        result = run_stage(name, options, target, force)
        results.append(result)
        if result.fresh:
            for line in result.lines:
                say(line, quiet)
            say(f"{name}: {time.monotonic() - started:.1f} s", quiet)
    return results


def say(line: str, quiet: bool) -> None:
    """Print a line for people, on standard error if standard output is for a record."""
    print(line, file=sys.stderr if quiet else sys.stdout, flush=True)
