"""`miner run`: the stages of a recipe one after another, or a study."""

from collections import Counter

from miner.artifacts.workspace import Workspace
from miner.commands.ending import with_next_command
from miner.engine import Record, Result
from miner.errors import UsageError
from miner.options import read_yaml
from miner.recipe import Recipe, RunOptions, plan_recipe, read_recipe
from miner.run_stages import run_stages, say
from miner.shipped_recipes import recipe_file
from miner.text import counted


def run_recipe(options: RunOptions, quiet: bool = False) -> Result:
    """Run a recipe or a study; if `quiet`, say nothing on standard output while working.

    Raises:
        UsageError: the recipe, a change, or an option in it is wrong; found before any work starts.
        MinerError: a stage failed.
    """
    options = options.model_copy(update={"recipe": recipe_file(options.recipe)})
    content = read_yaml(options.recipe)
    if "arms" in content:
        from miner.study.run import run_study

        return run_study(options, content, quiet)
    if options.seeds or options.arms or options.engine_address:
        raise UsageError(f"{options.recipe} has no arms; --seeds, --arms and --engine-address are for studies.")
    recipe = read_recipe(Recipe, content, options.recipe)
    planned = plan_recipe(recipe, options)
    if recipe.notes and not options.full:
        say(recipe.notes.strip(), quiet)
    records, lines, fresh = [], [], False
    for number, (folder, stages) in enumerate(planned):
        if recipe.rounds:
            say(f"round {number} of {len(planned) - 1}: {folder}", quiet)
        results = run_stages(stages, Workspace(folder), options.force, quiet)
        records.append({"workspace": str(folder), "stages": _by_stage(results)})
        lines += _summary(results, Workspace(folder))
        fresh = fresh or any(result.fresh for result in results)
    page = next((result.page for result in results[::-1] if result.page), None)
    result = Result("run", {"rounds": records} if recipe.rounds else records[0], lines, fresh, page=page)
    return with_next_command(result, Workspace(folder))


def _by_stage(results: list[Result]) -> dict[str, Record]:
    """Records by stage. If a stage runs several times, its further records are called STAGE 2, STAGE 3 and so on."""
    counts: Counter[str] = Counter()
    records = {}
    for result in results:
        counts[result.stage] += 1
        number = counts[result.stage]
        records[result.stage if number == 1 else f"{result.stage} {number}"] = result.record
    return records


def _summary(results: list[Result], workspace: Workspace) -> list[str]:
    done = [result.stage for result in results if not result.fresh]
    lines = (
        [f"run: {len(done)} of {counted(len(results), 'stage was', 'stages were')} finished before ({', '.join(done)})"]
        if done
        else []
    )
    headline = [line for result in results for line in result.headline]
    width = max((len(name) for name, _ in headline), default=0)
    return [*lines, "", f"Result in {workspace.root}", *(f"  {name:<{width}}  {value}" for name, value in headline), ""]
