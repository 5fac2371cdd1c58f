"""The grid of a study: every run with every option validated."""

from dataclasses import dataclass
from pathlib import Path

from miner.errors import UsageError
from miner.options import Options
from miner.recipe import Planned, RunOptions, Stages, check_names, plan_stages
from miner.study.definition import Study, chosen_arms, chosen_seeds

# The study sets these itself (runs are named ARM-sSEED), so --set may not override them.
_DECIDED_BY_THE_GRID = ("name", "seed", "pairs_arm")
_ARM_STAGES = ("train", "eval knn")


@dataclass(frozen=True)
class ArmRun:
    """One cell of the grid: arm `number` (from 1) of `arms` with one seed, in a workspace with an absolute path."""

    arm: str
    seed: int
    number: int
    arms: int
    workspace: Path
    train: Options
    knn: Options
    linear: Options | None = None

    @property
    def name(self) -> str:
        return f"{self.arm}-s{self.seed}"


@dataclass(frozen=True)
class StudyPlan:
    """All work of a study, validated: the stages of the workspaces of the chosen arms, and the cells.

    `runs` holds all arms of the first seed, then of the next, so that an interrupted study has complete seeds.
    """

    root: Path
    workspaces: dict[str, Planned]
    runs: list[ArmRun]


def plan_study(study: Study, options: RunOptions) -> StudyPlan:
    """Choose arms and seeds, and validate every option of the study.

    Raises:
        UsageError: an arm, a seed, a workspace, a stage or an option is wrong.
    """
    seeds, arms = chosen_seeds(study, options.seeds), chosen_arms(study, options.arms)
    names = [name for stages in study.workspaces.values() for stage in stages for name in stage]
    linear: Stages = [{"eval linear": study.eval_linear}] if study.eval_linear is not None else []
    check_names([*names, *_ARM_STAGES, *["eval linear"] * len(linear)], study.full, options)
    changes = options.changes()
    if decided := [name for name in changes.get("train", {}) if name.replace("-", "_") in _DECIDED_BY_THE_GRID]:
        raise UsageError(f"--set train.{decided[0]}: in a study it follows from arms and seeds; use --arms or --seeds.")
    root = options.workspace or study.folder
    layers = [study.full if options.full else {}, changes]
    used = dict.fromkeys(_workspace_of(study, arm, options.recipe) for arm in arms)
    runs = []
    for seed in seeds:
        for number, arm in enumerate(arms, 1):
            workspace = root / study.arms[arm].workspace
            grid = {"train": {"name": f"{arm}-s{seed}", "seed": seed}}
            stages: Stages = [{"train": study.train}, {"eval knn": study.eval_knn}, *linear]
            own = {"train": study.arms[arm].train}
            planned = plan_stages(stages, [layers[0], own, layers[1], grid], workspace)
            train, knn, *rest = (stage for _, stage in planned)
            runs.append(ArmRun(arm, seed, number, len(arms), workspace.resolve(), train, knn, *rest))
    return StudyPlan(root, {name: plan_stages(study.workspaces[name], layers, root / name) for name in used}, runs)


def _workspace_of(study: Study, arm: str, path: Path) -> str:
    name = study.arms[arm].workspace
    if name not in study.workspaces:
        known = ", ".join(study.workspaces) or "none"
        raise UsageError(f"{path}: the arm {arm} trains in the workspace {name!r}, which is not there ({known}).")
    return name
