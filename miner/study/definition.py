"""The study file: workspaces that are prepared once, arms that train in them, and seeds.

folder: datasets_out/studies/pairs
workspaces:                       # folders in it; each a list of stages, as in a recipe
  lite0:
    - embed: {source: cifar10}
    - pairs: {min: 0.75, max: 0.95, most_similar: 20000}
train: {method: simclr}           # of all arms
eval knn: {}
eval linear: {}                   # only if it is wanted
arms:                             # options that an arm changes
  equal-steps: {workspace: lite0, train: {pairs_arm: equal-steps}}
  semantic: {workspace: lite0, train: {pairs_arm: semantic}}
  random-added: {workspace: lite0, train: {pairs_arm: random-added}, optional: true}
seeds: [0, 1, 2]
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from miner.errors import UsageError
from miner.recipe import StageOptions, Stages

ArmName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class StudyArm(BaseModel):
    """The workspace in which an arm trains, and the options of `train` that it changes.

    An optional arm runs only when --arms names it.
    """

    model_config = ConfigDict(extra="forbid")

    workspace: str
    train: StageOptions = {}
    optional: bool = False


class Study(BaseModel):
    """A study file, as in the docstring of this module; `full` and `notes` are those of a recipe."""

    model_config = ConfigDict(extra="forbid")

    folder: Path
    workspaces: dict[ArmName, Stages]
    train: StageOptions = {}
    eval_knn: StageOptions | None = Field(None, alias="eval knn")
    eval_linear: StageOptions | None = Field(None, alias="eval linear")
    arms: dict[ArmName, StudyArm] = Field(min_length=1)
    seeds: list[int] = Field([0], min_length=1)
    full: dict[str, StageOptions] = {}
    notes: str = ""


def chosen_seeds(study: Study, text: str | None) -> list[int]:
    """The seeds of the study, or those in `text` with commas between them.

    Raises:
        UsageError: one is no whole number, or comes twice.
    """
    try:
        seeds = study.seeds if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {text}: write whole numbers with commas between them, such as 0,1,2.") from None
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"The seeds {seeds} hold one of them twice; it would be the same run.")
    return seeds


def chosen_arms(study: Study, text: str | None) -> list[str]:
    """The arms of the study that are not optional, or those in `text` with commas between them, in the study's order.

    Raises:
        UsageError: one is unknown.
    """
    if text is None:
        return [name for name, arm in study.arms.items() if not arm.optional]
    wanted = [part.strip() for part in text.split(",")]
    for name in wanted:
        if name not in study.arms:
            raise UsageError(f"The study has no arm {name!r} (it has {', '.join(study.arms)}).")
    return [name for name in study.arms if name in wanted]
