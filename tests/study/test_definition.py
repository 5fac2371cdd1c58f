"""What is refused before any work starts, and what the grid is made of."""

from pathlib import Path

import pytest

from miner.commands.run import run_recipe
from miner.errors import UsageError
from miner.options import read_yaml
from miner.recipe import RunOptions, plan_stages, read_recipe
from miner.study.definition import Study
from miner.study.plan import StudyPlan, plan_study
from miner.study.summary import CONTROLS

STUDIES = Path(__file__).parents[2] / "pipelines/studies"
CONTENT = {
    "folder": "study",
    "workspaces": {
        "mine": [
            {"train": {"source": "sample", "name": "sampler", "pairs-arm": "none"}},
            {"embed": {"source": "sample", "encoder": "run:{workspace}/runs/sampler"}},
        ],
        "unused": [{"embed": {"source": "sample"}}],
    },
    "train": {"method": "simclr", "epochs": 5},
    "arms": {
        "control": {"workspace": "mine", "train": {"pairs-arm": "none", "epochs": 7}},
        "semantic": {"workspace": "mine"},
        "spare": {"workspace": "unused", "optional": True},
    },
    "seeds": [3, 4],
    "full": {"train": {"epochs": 200}},
}


def plan(*changes: str, full: bool = False, seeds: str | None = None, arms: str | None = None) -> StudyPlan:
    path = Path("study.yaml")
    options = RunOptions(recipe=path, workspace="root", set=changes, full=full, seeds=seeds, arms=arms)
    return plan_study(read_recipe(Study, CONTENT, path), options)


def test_the_grid_is_every_arm_with_every_seed() -> None:
    found = plan()
    assert [run.name for run in found.runs] == ["control-s3", "semantic-s3", "control-s4", "semantic-s4"]
    assert [(run.number, run.arms) for run in found.runs[:2]] == [(1, 2), (2, 2)]
    first = found.runs[0]
    assert (first.train.name, first.train.seed, first.train.method, first.train.epochs) == (
        "control-s3",
        3,
        "simclr",
        7,
    )
    assert (first.knn.run, first.workspace) == ("control-s3", Path("root/mine").resolve())
    assert found.runs[1].train.pairs_arm == "semantic" and found.runs[1].train.epochs == 5
    assert list(found.workspaces) == ["mine"]


def of_repository(name: str) -> StudyPlan:
    path = STUDIES / f"{name}.yaml"
    study = read_recipe(Study, read_yaml(path), path)
    return plan_study(study, RunOptions(recipe=path, seeds="0", arms=",".join(study.arms)))


def test_semantic_pairs_has_every_method_with_every_kind_of_pairs() -> None:
    methods = ("simclr", "moco", "byol", "simsiam", "vicreg")
    kinds = {
        **{"augmented": "matched-augmented", "semantic": "pairs-only", "half": "matched-half"},
        "images": "matched-images",
    }
    found = {run.arm: (run.train.method, run.train.pairs_arm) for run in of_repository("semantic_pairs").runs}
    assert found == {f"{method}-{kind}": (method, arm) for method in methods for kind, arm in kinds.items()}


def test_gentle_arms_use_the_pairs_of_one_sampler() -> None:
    changed = {run.arm: run.train for run in of_repository("label_free").runs if run.workspace.name == "seed0"}
    assert changed["mask-only"].mask_known_positives and changed["half-weight"].pair_weight == 0.5
    assert changed["robust"].rince == (0.5, 0.025) and changed["partners"].rince is None


def test_arms_of_the_evidence_take_equal_steps_if_every_rule_gives_its_pairs() -> None:
    longer = {("label_free", "equal-compute"): 90 * 78}
    images = {"clothes": 5_096}
    steps = {name: 1440 for name in ("dose_response", "selection", "fashion")}
    steps |= {"stronger": 720, "label_free": 1404, "clothes": 1400}
    for name, wanted in steps.items():
        found = of_repository(name)
        asked = [options for stages in found.workspaces.values() for stage, options in stages if stage == "pairs"]
        (pairs,) = {options.most_similar for options in asked}
        for run in found.runs:
            items = images.get(name, 20_000) + (pairs if run.train.arm.reads_pairs and run.train.pairs_are_items else 0)
            took = run.train.epochs * int(items // run.train.batch_size)
            assert took == longer.get((name, run.arm), wanted), (name, run.arm)
        controls = {run.train.pairs_arm for run in found.runs} & {*CONTROLS}
        assert controls >= {"equal-steps", "anchor-oversample"}, name


def test_samplers_of_the_label_free_study_differ_in_their_seed_alone() -> None:
    found = of_repository("label_free").workspaces
    samplers = [found[f"seed{seed}"][0][1].plain() for seed in range(3)]
    assert [{**sampler, "seed": 0} for sampler in samplers] == [samplers[0]] * 3
    assert [sampler["seed"] for sampler in samplers] == [0, 1, 2] and samplers[0]["source"] == "cifar10"
    (_, round1), (_, judged) = found["seed0"][-2:]
    assert (round1.init_from, judged.run) == ("sampler", "round1")
    assert found["round2"][0][1].encoder.endswith("seed0/runs/round1")


@pytest.mark.parametrize("path", sorted(STUDIES.glob("pairs_*.yaml")), ids=lambda path: path.stem)
def test_studies_of_the_repository_hold_the_arms_of_a_claim(path: Path) -> None:
    study = read_recipe(Study, read_yaml(path), path)
    found = plan_study(study, RunOptions(recipe=path, seeds="0", arms=",".join(study.arms)))
    needed = {"equal-steps", "random-added", "anchor-oversample", "semantic", "partner-shuffle", "oracle"}
    assert needed <= {run.train.pairs_arm for run in found.runs}
    counts = [
        options.most_similar for stages in found.workspaces.values() for name, options in stages if name == "pairs"
    ]
    assert len(counts) == 2 and len(set(counts)) == 1


def test_the_encoder_of_a_recipe_may_lie_in_its_workspace() -> None:
    (_, train), (_, embed) = plan().workspaces["mine"]
    assert (embed.encoder, train.name) == ("run:root/mine/runs/sampler", "sampler")


def test_the_names_of_workspaces_are_filled_in_lists_too() -> None:
    others = ["{workspace}/../a", "{workspace}/../b"]
    ((_, found),) = plan_stages([{"pairs": {"agree": others}}], [], Path("root/mine"))
    assert found.plain()["agree"] == ["root/mine/../a", "root/mine/../b"]


def test_changes_reach_arms_and_workspaces_and_win_over_full() -> None:
    found = plan("train.limit=50", "eval knn.limit=20", full=True, seeds="0", arms="spare,control")
    assert [run.name for run in found.runs] == ["control-s0", "spare-s0"]
    assert [run.train.epochs for run in found.runs] == [7, 200]
    assert found.runs[0].train.limit == found.workspaces["mine"][0][1].limit == 50
    assert found.runs[0].knn.limit == 20
    assert plan("train.epochs=1", full=True).runs[0].train.epochs == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arms": {"a": {"workspace": "nowhere"}}}, "workspace 'nowhere', which is not there"),
        ({"arms": {}}, "arms"),
        ({"arms": {"a b": {"workspace": "mine"}}}, "arms"),
        ({"seeds": [1, 1]}, "twice"),
        ({"train": {"method": "magic"}}, "--method"),
        ({"eval knn": {"k": 3}}, "unknown option 'k'"),
        ({"workspaces": {"mine": [{"dream": {}}]}}, "unknown stage 'dream'"),
        ({"stages": []}, "stages"),
    ],
)
def test_a_wrong_study_is_refused_before_any_work(tmp_path: Path, change: dict[str, object], words: str) -> None:
    import yaml

    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**CONTENT, **change}))
    with pytest.raises(UsageError, match=words):
        run_recipe(RunOptions(recipe=path, workspace=tmp_path / "w"))
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("changes", "choice", "words"),
    [
        (["train.seed=1"], {}, "use --arms or --seeds"),
        (["train.pairs-arm=none"], {}, "use --arms or --seeds"),
        (["pairs.min=0.1"], {}, "no stage 'pairs'"),
        ([], {"seeds": "0,x"}, "whole numbers"),
        ([], {"arms": "control,nobody"}, "no arm 'nobody'"),
    ],
)
def test_wrong_changes_are_refused(changes: list[str], choice: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(*changes, **choice)


def test_flags_of_studies_are_refused_for_recipes(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("stages: [{embed: {source: sample}}]\n")
    with pytest.raises(UsageError, match="are for studies"):
        run_recipe(RunOptions(recipe=path, workspace=tmp_path / "w", seeds="0,1"))
