"""Recipes: stages with their options, in a YAML file.

    workspace: datasets_out/demo
    stages:
      - embed: {source: sample}
      - pairs: {min: 0.8, max: 0.95}
      - eval knn:
    full:                      # what --full changes, by stage
      embed: {limit: null}
    notes: Said before the work starts.

    rounds:                    # repeats stages, each time in a workspace of its own; the stages above are round 0
      accept: [0.05, 0.1]      # a round for each value of {accept}
      stages:
        - embed: {source: sample, encoder: "run:{previous}/runs/moco"}
        - pairs: {most_similar: "{accept}"}
        - train: {}

A stage may come twice: in pipelines/cifar10_sepp.yaml the first `train` makes the encoder, and the second trains on its pairs.
--set and `full` change both. `{workspace}` in a value stands for the workspace: `embed: {encoder: "run:{workspace}/runs/sampler"}`.
With `rounds`, the workspaces are round-0, round-1 and so on in `{root}`, and `{previous}` stands for that of the round before.
A recipe with `arms` is a study (`miner.study`).
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from miner.artifacts.workspace import DEFAULT_WORKSPACE
from miner.errors import UsageError
from miner.options import Options, field_name, option
from miner.stages import STAGES

StageOptions = dict[str, Any]
Stages = list[dict[str, StageOptions | None]]
Planned = list[tuple[str, Options]]
_Model = TypeVar("_Model", bound=BaseModel)


class RunOptions(Options):
    """Run all stages of a recipe, or all runs of a study. Finished work is skipped.

    A recipe is a list of stages with their options. A study trains several arms, each with several seeds, and compares them in one
    table. Those in the folder pipelines/ come with the package and have names, such as `demo`.

    \b
      miner run demo
      miner run pipelines/demo.yaml --set train.epochs=20 -w datasets_out/longer
      miner run pipelines/studies/pairs_cpu.yaml --seeds 0,1,2
    """

    recipe: Path = option(..., argument=True)
    """A recipe or a study: a YAML file, or the name of one that comes with the package, such as `demo`."""
    workspace: Path | None = option(None, short="-w", metavar="FOLDER")
    """Work in this folder, instead of the folder that the recipe names."""
    full: bool = option(False)
    """Use the `full` settings of the recipe. Most of them need a GPU."""
    set: list[str] = option([], metavar="STAGE.OPTION=VALUE")
    """Change an option of the recipe. The flag may be given several times."""
    force: bool = option(False)
    """Replace results that were made with other options."""
    seeds: str | None = option(None, panel="studies", metavar="0,1,...")
    """Train with these seeds, instead of the seeds that the study names."""
    arms: str | None = option(None, panel="studies", metavar="NAME,...")
    """Train these arms of the study, instead of all. An optional arm runs only if this flag names it."""
    engine_address: str | None = option(None, panel="studies")
    """Run the study on a Ray cluster: auto, or ray://HOST:PORT. Needs the extra `ray`."""

    def changes(self) -> dict[str, StageOptions]:
        """What --set changes: options by stage.

        Raises:
            UsageError: a change is written otherwise, or its value is not YAML.
        """
        from miner.engine.yaml_values import parse_yaml

        parsed: dict[str, StageOptions] = {}
        for change in self.set:
            target, equals, value = change.partition("=")
            stage, dot, name = target.rpartition(".")
            if not equals or not dot:
                raise UsageError(f"--set {change!r}: write STAGE.OPTION=VALUE, such as train.epochs=10.")
            try:
                parsed.setdefault(stage, {})[name] = parse_yaml(value)
            except ValueError:
                raise UsageError(f"--set {change!r}: {value!r} is not a YAML value.") from None
        return parsed


class Rounds(BaseModel):
    """Stages that are repeated: an encoder finds pairs, and the training on them makes the next encoder.

    Attributes:
        accept: what `{accept}` stands for in each round, such as the share of `--most-similar`.
    """

    model_config = ConfigDict(extra="forbid")

    accept: list[float] = Field(min_length=1)
    stages: Stages


class Recipe(BaseModel):
    """A recipe file: stages in order, each a mapping of one stage name to its options.

    --full adds the options of `full`. Without --full, `notes` are printed before the work starts.
    """

    model_config = ConfigDict(extra="forbid")

    workspace: Path = DEFAULT_WORKSPACE
    stages: Stages
    rounds: Rounds | None = None
    full: dict[str, StageOptions] = {}
    notes: str = ""

    @property
    def all_stages(self) -> Stages:
        """The stages, and those that rounds repeat."""
        return [*self.stages, *(self.rounds.stages if self.rounds else [])]


def read_recipe(model: type[_Model], content: dict[str, Any], path: Path) -> _Model:
    """Check the content of a recipe, or of a study.

    Raises:
        UsageError: something is missing, unknown or of the wrong type; the message names the place.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UsageError(f"{path} is not a {model.__name__.lower()}: {where}: {problem['msg']}.") from None


def plan_recipe(recipe: Recipe, options: RunOptions) -> list[tuple[Path, Planned]]:
    """The stages of a recipe, all their options validated, by workspace: one, or one for each round.

    Raises:
        UsageError: a stage or an option is wrong.
    """
    check_names([name for stage in recipe.all_stages for name in stage], recipe.full, options)
    layers = [recipe.full if options.full else {}, options.changes()]
    root = options.workspace or recipe.workspace
    if recipe.rounds is None:
        return [(root, plan_stages(recipe.stages, layers, root))]
    folders = [root / f"round-{number}" for number in range(len(recipe.rounds.accept) + 1)]
    planned = [(folders[0], plan_stages(recipe.stages, layers, folders[0]))]
    for before, folder, accept in zip(folders, folders[1:], recipe.rounds.accept, strict=False):
        names = {"root": str(root), "previous": str(before), "accept": f"{accept:g}"}
        planned.append((folder, plan_stages(recipe.rounds.stages, layers, folder, names)))
    return planned


def check_names(names: Sequence[str], full: Collection[str], options: RunOptions) -> None:
    """Check the names of the stages that run, and of those that --full and --set change.

    Raises:
        UsageError: a stage is unknown, --set or --full changes a stage that does not run, or there are no stages.
    """
    for name in [*names, *full]:
        if name not in STAGES:
            raise UsageError(f"{options.recipe}: unknown stage {name!r} (known: {', '.join(STAGES)}).")
    if not names:
        raise UsageError(f"{options.recipe} names no stages.")
    if options.full and not full:
        raise UsageError(f"{options.recipe} has no `full` settings; run it without --full.")
    for name in [*options.changes(), *full]:
        if name not in names:
            known = ", ".join(dict.fromkeys(names))
            raise UsageError(f"The recipe has no stage {name!r} to change (it has {known}).")


def plan_stages(
    stages: Stages,
    layers: Sequence[Mapping[str, StageOptions]],
    workspace: Path,
    names: Mapping[str, str] = MappingProxyType({}),
) -> Planned:
    """Stages, all their options validated; `workspace` is what `{workspace}` in a value stands for, and `names` what else does.

    `layers` hold options by stage. Each layer wins over the layers before it and over the options in `stages`.

    Raises:
        UsageError: an option is wrong.
    """
    planned: Planned = []
    trained: str | None = None
    for stage in stages:
        for name, options in stage.items():
            given = (options or {}, *(layer.get(name, {}) for layer in layers))
            values = {
                field_name(option): _filled(value, {"workspace": str(workspace), **names})
                for layer in given
                for option, value in layer.items()
            }
            if trained is not None and STAGES[name].evaluates_run(values):
                values.setdefault("run", trained)
            parsed = STAGES[name].options.parse(values)
            trained = parsed.run_name or trained
            planned.append((name, parsed))
    return planned


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(part, names) for part in value]
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"{{{name}}}", text)
    return value
