"""`miner run`: the stages of a recipe one after another, each skipped when it is done.

A recipe is YAML:

    workspace: datasets_out/demo
    stages:
      - embed: {source: sample}
      - pairs: {min: 0.8, max: 0.95}
      - eval knn:
    full:                      # what --full changes, by stage
      embed: {limit: null}
    notes: Said before the work starts.
"""

import sys
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from miner.errors import UsageError
from miner.options import Options, read_config
from miner.stages import STAGES, run_stage
from miner.train.options import TrainOptions
from miner.workspace import DEFAULT_WORKSPACE, Result, Workspace

StageOptions = dict[str, Any]


class Recipe(BaseModel):
    """A recipe file.

    Attributes:
        workspace: where the stages work.
        stages: one mapping of stage name to options each, in order.
        full: options by stage that --full adds.
        notes: a sentence for the user, and another for --full.
    """

    model_config = ConfigDict(extra="forbid")

    workspace: Path = DEFAULT_WORKSPACE
    stages: list[dict[str, StageOptions | None]]
    full: dict[str, StageOptions] = {}
    notes: str = ""


def run_recipe(
    path: Path, workspace: Path | None, changes: list[str], *, full: bool, force: bool, quiet: bool = False
) -> Result:
    """Run a recipe.

    Args:
        path: of the recipe.
        workspace: instead of the recipe's own.
        changes: `STAGE.OPTION=VALUE`, with YAML values.
        full: apply the recipe's `full` options.
        force: replace what other requests made.
        quiet: say nothing on standard output while working.
    Raises:
        UsageError: the recipe, a change, or an option in it is wrong; found before any work starts.
        MinerError: a stage failed.
    """
    recipe = _read(path)
    planned = _plan(recipe, _parse_changes(changes), full, path)
    target = Workspace(workspace or recipe.workspace)
    if recipe.notes and not full:
        _say(recipe.notes.strip(), quiet)
    results: list[Result] = []
    for name, options in planned:
        started = time.monotonic()
        result = run_stage(name, options, target, force)
        results.append(result)
        if result.fresh:
            for line in result.lines:
                _say(line, quiet)
            _say(f"{name}: {time.monotonic() - started:.1f} s", quiet)
    record = {"workspace": str(target.root), "stages": {result.stage: result.record for result in results}}
    fresh = any(result.fresh for result in results)
    return Result("run", record, _summary(results, target), fresh=fresh)


def _say(line: str, quiet: bool) -> None:
    print(line, file=sys.stderr if quiet else sys.stdout, flush=True)


def _summary(results: list[Result], workspace: Workspace) -> list[str]:
    done = [result.stage for result in results if not result.fresh]
    lines = [f"run: {len(done)} of {len(results)} stages were finished before ({', '.join(done)})"] if done else []
    headline = [line for result in results for line in result.headline]
    width = max((len(name) for name, _ in headline), default=0)
    return [*lines, "", f"Result in {workspace.root}", *(f"  {name:<{width}}  {value}" for name, value in headline), ""]


def _read(path: Path) -> Recipe:
    try:
        return Recipe.model_validate(read_config(path))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UsageError(f"{path} is not a recipe: {where}: {problem['msg']}.") from None


def _plan(recipe: Recipe, changes: dict[str, StageOptions], full: bool, path: Path) -> list[tuple[str, Options]]:
    """All stages with their options validated."""
    names = [name for stage in recipe.stages for name in stage]
    overrides = {**recipe.full} if full else {}
    for name in [*names, *recipe.full]:
        if name not in STAGES:
            raise UsageError(f"{path}: unknown stage {name!r} (known: {', '.join(STAGES)}).")
    if not names:
        raise UsageError(f"{path} names no stages.")
    if full and not recipe.full:
        raise UsageError(f"{path} has no `full` settings; run it without --full.")
    for name in [*changes, *recipe.full]:
        if name not in names:
            raise UsageError(f"The recipe has no stage {name!r} to change (it has {', '.join(names)}).")
    planned = []
    trained: str | None = None
    for stage in recipe.stages:
        for name, options in stage.items():
            layers = (options or {}, overrides.get(name, {}), changes.get(name, {}))
            values = {option.replace("-", "_"): value for layer in layers for option, value in layer.items()}
            if name == "train":
                trained = values.get("name") or values.get("method") or TrainOptions.parse({}).method
            if name.startswith("eval ") and trained is not None:
                values.setdefault("run", trained)
            planned.append((name, STAGES[name].options.parse(values)))
    return planned


def _parse_changes(changes: list[str]) -> dict[str, StageOptions]:
    import yaml

    parsed: dict[str, StageOptions] = {}
    for change in changes:
        target, equals, value = change.partition("=")
        stage, dot, option = target.rpartition(".")
        if not equals or not dot:
            raise UsageError(f"--set {change!r}: write STAGE.OPTION=VALUE, such as train.epochs=10.")
        try:
            parsed.setdefault(stage, {})[option] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"--set {change!r}: {value!r} is not a YAML value.") from None
    return parsed
