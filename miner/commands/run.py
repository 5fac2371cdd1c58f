"""`miner run`: the stages of a recipe one after another, each skipped when it is done."""

from pathlib import Path
from typing import Any

from miner.artifacts.workspace import Workspace
from miner.engine.result import Result
from miner.errors import UsageError
from miner.options import read_config
from miner.recipe import Recipe, parse_changes, plan_recipe, read_recipe
from miner.run_stages import run_stages, say


def run_recipe(
    path: Path,
    workspace: Path | None,
    changes: list[str],
    *,
    full: bool,
    force: bool,
    quiet: bool = False,
    seeds: str | None = None,
    arms: str | None = None,
    engine_address: str | None = None,
) -> Result:
    """Run a recipe or a study.

    Args:
        path: of the recipe.
        workspace: instead of the recipe's own.
        changes: `STAGE.OPTION=VALUE`, with YAML values.
        full: apply the recipe's `full` options.
        force: replace what other requests made.
        quiet: say nothing on standard output while working.
        seeds, arms: of a study, with commas between them, instead of its own.
        engine_address: of the Ray cluster that a study trains on.
    Raises:
        UsageError: the recipe, a change, or an option in it is wrong; found before any work starts.
        MinerError: a stage failed.
    """
    content = read_config(path)
    parsed = parse_changes(changes)
    if "arms" in content:
        from miner.study.run import run_study

        return run_study(
            path,
            content,
            workspace,
            parsed,
            full=full,
            force=force,
            quiet=quiet,
            seeds=seeds,
            arms=arms,
            engine_address=engine_address,
        )
    if seeds or arms or engine_address:
        raise UsageError(f"{path} has no arms; --seeds, --arms and --engine-address are for studies.")
    recipe = read_recipe(Recipe, content, path)
    target = Workspace(workspace or recipe.workspace)
    planned = plan_recipe(recipe.model_copy(update={"workspace": target.root}), parsed, full, path)
    if recipe.notes and not full:
        say(recipe.notes.strip(), quiet)
    results = run_stages(planned, target, force, quiet)
    record = {"workspace": str(target.root), "stages": _by_stage(results)}
    fresh = any(result.fresh for result in results)
    return Result("run", record, _summary(results, target), fresh=fresh)


def _by_stage(results: list[Result]) -> dict[str, Any]:
    """Records by stage; those of a stage that comes again are numbered from 2."""
    records: dict[str, Any] = {}
    for number, result in enumerate(results):
        before = sum(other.stage == result.stage for other in results[:number])
        records[f"{result.stage} {before + 1}" if before else result.stage] = result.record
    return records


def _summary(results: list[Result], workspace: Workspace) -> list[str]:
    done = [result.stage for result in results if not result.fresh]
    lines = [f"run: {len(done)} of {len(results)} stages were finished before ({', '.join(done)})"] if done else []
    headline = [line for result in results for line in result.headline]
    width = max((len(name) for name, _ in headline), default=0)
    return [*lines, "", f"Result in {workspace.root}", *(f"  {name:<{width}}  {value}" for name, value in headline), ""]
