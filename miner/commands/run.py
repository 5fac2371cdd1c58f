"""`miner run`: the stages of a recipe one after another, each skipped when it is done."""

from typing import Any

from miner.artifacts.workspace import Workspace
from miner.engine.result import Result
from miner.errors import UsageError
from miner.options import read_config
from miner.recipe import Recipe, RunOptions, parse_changes, plan_recipe, read_recipe
from miner.run_stages import run_stages, say


def run_recipe(options: RunOptions, quiet: bool = False) -> Result:
    """Run a recipe or a study.

    Args:
        options: which one, and what to change in it.
        quiet: say nothing on standard output while working.
    Raises:
        UsageError: the recipe, a change, or an option in it is wrong; found before any work starts.
        MinerError: a stage failed.
    """
    path = options.recipe
    content = read_config(path)
    if "arms" in content:
        from miner.study.run import run_study

        return run_study(options, content, quiet)
    if options.seeds or options.arms or options.engine_address:
        raise UsageError(f"{path} has no arms; --seeds, --arms and --engine-address are for studies.")
    recipe = read_recipe(Recipe, content, path)
    workspace = Workspace(options.workspace or recipe.workspace)
    planned = plan_recipe(recipe, parse_changes(options.set), options.full, path, workspace.root)
    if recipe.notes and not options.full:
        say(recipe.notes.strip(), quiet)
    results = run_stages(planned, workspace, options.force, quiet)
    record = {"workspace": str(workspace.root), "stages": _by_stage(results)}
    fresh = any(result.fresh for result in results)
    return Result("run", record, _summary(results, workspace), fresh=fresh)


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
