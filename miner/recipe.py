"""What a recipe is, and its stages with every option validated.

A recipe is YAML:

    workspace: datasets_out/demo
    stages:
      - embed: {source: sample}
      - pairs: {min: 0.8, max: 0.95}
      - eval knn:
    full:                      # what --full changes, by stage
      embed: {limit: null}
    notes: Said before the work starts.

A stage may come twice, as `train` does where a first run is the encoder of the second; what --set and `full` change, they
change in both. `{workspace}` in a value stands for the workspace: `embed: {encoder: "run:{workspace}/runs/sampler"}`.
A recipe with `arms` is a study (`miner.study`).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from miner.artifacts.workspace import DEFAULT_WORKSPACE
from miner.errors import UsageError
from miner.options import Options, option
from miner.stages import STAGES

StageOptions = dict[str, Any]
Stages = list[dict[str, StageOptions | None]]
Planned = list[tuple[str, Options]]
Kind = TypeVar("Kind", bound=BaseModel)


class RunOptions(Options):
    """Options of `miner run`."""

    recipe: Path = option(..., "A recipe or a study, as YAML, such as pipelines/demo.yaml.", argument=True)
    workspace: Path | None = option(
        None, "Work in this folder, instead of the recipe's own.", short="-w", metavar="FOLDER"
    )
    full: bool = option(False, "Use the recipe's `full` settings, which mostly want a GPU.")
    set: list[str] = option(
        [], "Change an option of the recipe. May be given several times.", metavar="STAGE.OPTION=VALUE"
    )
    force: bool = option(False, "Replace what earlier, different requests made.")
    seeds: str | None = option(None, "Seeds of the study, instead of its own.", panel="studies", metavar="0,1,...")
    arms: str | None = option(
        None,
        "Arms of the study, instead of all. An optional arm runs only if it is named here.",
        panel="studies",
        metavar="NAME,...",
    )
    engine_address: str | None = option(
        None, "Run the study on a Ray cluster: auto, or ray://HOST:PORT. Needs the extra `ray`.", panel="studies"
    )


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
    stages: Stages
    full: dict[str, StageOptions] = {}
    notes: str = ""


def read_recipe(kind: type[Kind], content: dict[str, Any], path: Path) -> Kind:
    """The content of a recipe file, checked.

    Raises:
        UsageError: it is not such a recipe; names the place.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UsageError(f"{path} is not a {kind.__name__.lower()}: {where}: {problem['msg']}.") from None


def plan_recipe(
    recipe: Recipe, changes: dict[str, StageOptions], full: bool, path: Path, workspace: Path | None = None
) -> Planned:
    """All stages with their options validated.

    Args:
        recipe: as read.
        changes: options by stage, from --set.
        full: whether to apply the recipe's `full`.
        path: of the recipe, for errors.
        workspace: instead of the recipe's own.
    Raises:
        UsageError: a stage or an option is wrong.
    """
    names = [name for stage in recipe.stages for name in stage]
    check_names(names, changes, recipe.full, full, path)
    return plan_stages(recipe.stages, [recipe.full if full else {}, changes], workspace or recipe.workspace)


def check_names(
    names: Sequence[str], changes: Iterable[str], full_names: Iterable[str], full: bool, path: Path
) -> None:
    """Refuse stages that there are not.

    Args:
        names: of the recipe's stages.
        changes, full_names: names of stages that --set and `full` change.
        full: whether --full was given.
        path: of the recipe.
    Raises:
        UsageError: a stage is unknown, is to be changed and not there, or there are none.
    """
    full_names = list(full_names)
    for name in [*names, *full_names]:
        if name not in STAGES:
            raise UsageError(f"{path}: unknown stage {name!r} (known: {', '.join(STAGES)}).")
    if not names:
        raise UsageError(f"{path} names no stages.")
    if full and not full_names:
        raise UsageError(f"{path} has no `full` settings; run it without --full.")
    for name in [*changes, *full_names]:
        if name not in names:
            known = ", ".join(dict.fromkeys(names))
            raise UsageError(f"The recipe has no stage {name!r} to change (it has {known}).")


def plan_stages(stages: Stages, layers: Sequence[Mapping[str, StageOptions]], workspace: Path) -> Planned:
    """Stages with their options validated.

    Args:
        stages: as in a recipe.
        layers: options by stage; each layer wins over the ones before it and over the stages' own.
        workspace: for `{workspace}` in values.
    Raises:
        UsageError: an option is wrong.
    """
    planned: Planned = []
    trained: str | None = None
    for stage in stages:
        for name, options in stage.items():
            given = (options or {}, *(layer.get(name, {}) for layer in layers))
            values = {
                option.replace("-", "_"): _placed(value, workspace)
                for layer in given
                for option, value in layer.items()
            }
            if trained is not None and STAGES[name].evaluates_run(values):
                values.setdefault("run", trained)
            parsed = STAGES[name].options.parse(values)
            trained = parsed.run_name or trained
            planned.append((name, parsed))
    return planned


def _placed(value: Any, workspace: Path) -> Any:
    return value.replace("{workspace}", str(workspace)) if isinstance(value, str) else value


def parse_changes(changes: list[str]) -> dict[str, StageOptions]:
    """`STAGE.OPTION=VALUE` as options by stage.

    Raises:
        UsageError: one is written otherwise, or its value is not YAML.
    """
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
