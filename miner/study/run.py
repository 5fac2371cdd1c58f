"""`miner run` on a study: prepare the workspaces, run the grid, write the table and the figure."""

import os
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from miner.artifacts.workspace import Workspace
from miner.engine import (
    Executor,
    LocalExecutor,
    Progress,
    Record,
    Result,
    Unit,
    explain_write_error,
    read_json,
    run,
    write_signed,
)
from miner.engine.atomic import write_bytes, write_json
from miner.errors import MinerError
from miner.machine.executor import executor_for
from miner.recipe import RunOptions, read_recipe
from miner.run_stages import run_logged, run_stages, say
from miner.study.definition import Study
from miner.study.plan import ArmRun, StudyPlan, plan_study
from miner.study.summary import FACTS, summarise_cells
from miner.study.table import plot_study, study_csv, study_markdown, study_notes
from miner.text import counted


def run_study(options: RunOptions, content: dict[str, Any], quiet: bool) -> Result:
    """Run a study -> study.json, table.md, table.csv, figure.png in its folder.

    Stages and runs that were finished before are skipped. So a study that was killed goes on, and further seeds are added to
    those that are there. A run that fails does not stop the others.

    Raises:
        UsageError: the study or an option is wrong; found before any work starts.
        MinerError: a run failed; raised after the table of the others has been written.
    """
    study = read_recipe(Study, content, options.recipe)
    plan = plan_study(study, options)
    if study.notes:
        say(study.notes.strip(), quiet)
    with Workspace(plan.root).locked():
        failed = _prepare(plan, options.force, quiet)
        device = plan.runs[0].train.plain()["device"]
        executor = executor_for(options.engine_address, device, process_per_device=False)
        cells = _run_grid(plan, failed, options.force, executor)
        asked = {"study": content, "changes": options.changes(), "full": options.full}
        return _conclude(plan, options.recipe.stem, cells, asked)


def _prepare(plan: StudyPlan, force: bool, quiet: bool) -> dict[str, str]:
    """Run the stages of every workspace. Returns the errors by workspace."""
    failed = {}
    for name, stages in plan.workspaces.items():
        try:
            run_stages(stages, Workspace(plan.root / name), force, quiet)
        except MinerError as error:
            failed[name] = f"The workspace {name} could not be prepared: {error}"
            say(failed[name], quiet=True)
    return failed


def _run_grid(plan: StudyPlan, failed: dict[str, str], force: bool, executor: Executor) -> list[Record]:
    """Run every cell. Returns their records.

    Records of an earlier call are removed, because options may have changed since. Each stage finds by itself what is finished.
    """
    folder = (plan.root / "results").resolve()
    known = {cell.name for cell in plan.runs} | _runs_of_earlier_call(plan)
    for path in folder.glob("*.json"):
        if path.stem in known:
            path.unlink()
    units = []
    for cell in plan.runs:
        work = partial(run_cell, cell, failed.get(cell.workspace.name), force)
        units.append(Unit(cell.name, (folder / f"{cell.name}.json",), work))
    with ExitStack() as stack:
        for name in plan.workspaces:
            stack.enter_context(Workspace(plan.root / name).locked())
        if executor == LocalExecutor():  # where each run shows its own progress
            run(units)
        else:
            with Progress("study", len(units), "runs") as progress:
                run(units, progress=progress, executor=executor)
    return [read_json(unit.files[0]) or {} for unit in units]


def _runs_of_earlier_call(plan: StudyPlan) -> set[str]:
    """The runs that study.json lists."""
    with suppress(MinerError, KeyError, TypeError):  # it is damaged
        return {str(cell["run"]) for cell in (read_json(plan.root / "study.json") or {"cells": []})["cells"]}
    return set()


def _conclude(plan: StudyPlan, title: str, cells: list[Record], asked: Record) -> Result:
    """Write the table, the figure and study.json, and raise if a cell failed."""
    failed = [cell for cell in cells if "error" in cell]
    if len(failed) == len(cells):
        raise MinerError(f"All {counted(len(cells), 'run')} of the study failed. {failed[0]['error']}")
    arms = summarise_cells(cells, {cell.arm: cell.train.plain()["method"] for cell in plan.runs})
    table = study_markdown(title, arms, study_notes(plan, arms, cells))
    write_bytes(plan.root / "table.md", table.encode())
    write_bytes(plan.root / "table.csv", study_csv(arms).encode())
    plot_study(plan.root / "figure.png", title, arms)
    record = write_signed(plan.root / "study.json", {**asked, "arms": arms, "cells": cells})
    if failed:
        raise MinerError(
            f"{len(failed)} of {counted(len(cells), 'run')} failed: {', '.join(cell['run'] for cell in failed)}. "
            f"{failed[0]['error']} The "
            f"others are in {plan.root / 'table.md'}; the same command tries the failed ones again."
        )
    lines = ["", *table.splitlines(), "", f"Result in {plan.root}: table.md, table.csv, figure.png"]
    return Result("run", record, lines, page=plan.root / "figure.png")


def run_cell(cell: ArmRun, failed_before: str | None, force: bool, path: Path) -> None:
    """Train and evaluate, or skip what is finished, and write a record as JSON.

    A failure is written as `error` of the record, so that the other cells go on. `failed_before` is the error of the preparation
    of the workspace, if there was one.
    """
    say(f"study: arm {cell.number} of {cell.arms}, seed {cell.seed}: {cell.arm}", quiet=True)
    found: Record
    if failed_before is not None:
        found = {"error": failed_before}
    else:
        try:
            found = _measured(cell, force)
        except Exception as error:  # of any kind: the other arms must not be lost
            if os.environ.get("MINER_DEBUG"):
                raise
            known = explain_write_error(error, cell.workspace)
            found = {"error": str(known) if isinstance(known, MinerError) else f"{type(error).__name__}: {error}"}
    write_json(path, {"arm": cell.arm, "seed": cell.seed, "run": cell.name, "workspace": cell.workspace.name, **found})


def _measured(cell: ArmRun, force: bool) -> Record:
    workspace = Workspace(cell.workspace)
    trained = run_logged("train", cell.train, workspace, force).record
    knn = run_logged("eval knn", cell.knn, workspace, force).record
    linear = (
        cell.linear and run_logged("eval linear", cell.linear, workspace, force).record["results"]["trained"]["test"]
    )
    return {
        "pairs_arm": trained["pairs_arm"],
        **{name: trained.get(name) for name in FACTS},
        "knn": [{name: found[name] for name in ("k", "temperature", "trained", "random")} for found in knn["results"]],
        **{name: knn[name] for name in ("gallery", "n_gallery", "test", "n_test")},
        "per_class": knn.get("per_class"),
        "linear": linear,
    }
