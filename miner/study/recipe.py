"""What a study is: workspaces that are prepared once, arms that train in them, and seeds.

folder: datasets_out/studies/pairs
workspaces:                       # folders in it; each a list of stages, as in a recipe
  lite0:
    - embed: {source: cifar10}
    - pairs: {min: 0.75, max: 0.95, most_similar: 20000}
train: {method: simclr}           # of all arms
eval knn: {}
arms:                             # what each changes
  equal-steps: {workspace: lite0, train: {pairs_arm: equal-steps}}
  semantic: {workspace: lite0, train: {pairs_arm: semantic}}
  random-added: {workspace: lite0, train: {pairs_arm: random-added}, optional: true}
seeds: [0, 1, 2]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from miner.errors import UsageError
from miner.evaluate.options import KnnOptions
from miner.pipeline import Planned, StageOptions, Stages, check_names, plan_stages
from miner.train.options import TrainOptions

# A run is called ARM-sSEED; the study calls it, and the grid is what --set must not flatten.
_DECIDED_BY_THE_GRID = ("name", "seed", "pairs_arm")
_ARM_STAGES = ("train", "eval knn")

ArmName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Arm(BaseModel):
    """One arm.

    Attributes:
        workspace: in which it trains.
        train: what it changes in the options of `train`.
        optional: whether it runs only when --arms names it.
    """

    model_config = ConfigDict(extra="forbid")

    workspace: str
    train: StageOptions = {}
    optional: bool = False


class Study(BaseModel):
    """A study file; see the module.

    Attributes:
        folder: of the results and of the workspaces.
        workspaces: stages by workspace.
        train, eval_knn: options of every arm.
        arms: by name.
        seeds: of every arm, each of them one run.
        full: options by stage that --full adds.
        notes: a sentence for the user.
    """

    model_config = ConfigDict(extra="forbid")

    folder: Path
    workspaces: dict[ArmName, Stages]
    train: StageOptions = {}
    eval_knn: StageOptions | None = Field(None, alias="eval knn")
    arms: dict[ArmName, Arm] = Field(min_length=1)
    seeds: list[int] = Field([0], min_length=1)
    full: dict[str, StageOptions] = {}
    notes: str = ""


@dataclass(frozen=True)
class ArmRun:
    """One cell of the grid: an arm with one seed.

    Attributes:
        arm, seed: which.
        number, arms: of the arm, from 1, and how many there are.
        workspace: absolute folder in which it trains, wherever the process was started.
        train, knn: options of the two stages.
    """

    arm: str
    seed: int
    number: int
    arms: int
    workspace: Path
    train: TrainOptions
    knn: KnnOptions

    @property
    def name(self) -> str:
        return f"{self.arm}-s{self.seed}"


@dataclass(frozen=True)
class Plan:
    """All work of a study, validated.

    Attributes:
        root: its folder.
        workspaces: stages by workspace, of those that the chosen arms train in.
        runs: one arm after another for each seed, so that a study that is cut short has whole seeds.
    """

    root: Path
    workspaces: dict[str, Planned]
    runs: list[ArmRun]


def plan_study(
    study: Study,
    root: Path,
    changes: Mapping[str, StageOptions],
    *,
    full: bool,
    seeds: list[int],
    arms: list[str],
    path: Path,
) -> Plan:
    """Validate every option of the study.

    Args:
        study: as read.
        root: its folder.
        changes: options by stage from --set; they apply to the arms and to the workspaces.
        full: whether to apply the study's `full`.
        seeds, arms: to run.
        path: of the study file, for errors.
    Raises:
        UsageError: an arm, a workspace, a stage or an option is wrong.
    """
    names = [name for stages in study.workspaces.values() for stage in stages for name in stage]
    check_names([*names, *_ARM_STAGES], changes, study.full, full, path)
    if decided := [name for name in changes.get("train", {}) if name.replace("-", "_") in _DECIDED_BY_THE_GRID]:
        raise UsageError(f"--set train.{decided[0]}: in a study it follows from arms and seeds; use --arms or --seeds.")
    layers = [study.full if full else {}, changes]
    used = dict.fromkeys(_workspace_of(study, arm, path) for arm in arms)
    runs = []
    for seed in seeds:
        for number, arm in enumerate(arms, 1):
            workspace = root / study.arms[arm].workspace
            grid = {"train": {"name": f"{arm}-s{seed}", "seed": seed}}
            stages: Stages = [{"train": study.train}, {"eval knn": study.eval_knn}]
            own = {"train": study.arms[arm].train}
            (_, train), (_, knn) = plan_stages(stages, [layers[0], own, layers[1], grid], workspace)
            assert isinstance(train, TrainOptions) and isinstance(knn, KnnOptions)
            runs.append(ArmRun(arm, seed, number, len(arms), workspace.resolve(), train, knn))
    return Plan(root, {name: plan_stages(study.workspaces[name], layers, root / name) for name in used}, runs)


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


def _workspace_of(study: Study, arm: str, path: Path) -> str:
    name = study.arms[arm].workspace
    if name not in study.workspaces:
        known: Any = ", ".join(study.workspaces) or "none"
        raise UsageError(f"{path}: the arm {arm} trains in the workspace {name!r}, which is not there ({known}).")
    return name
