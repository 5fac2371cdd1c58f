"""How the options of a recipe's stages follow from each other, and the workspaces of rounds."""

from pathlib import Path

import pytest
import yaml

from miner.artifacts.workspace import Workspace
from miner.commands.run import run_recipe
from miner.engine import Result
from miner.errors import UsageError
from miner.options import Options
from miner.recipe import Recipe, RunOptions, plan_recipe
from miner.run_stages import run_logged

OPTIONS = RunOptions(recipe="recipe.yaml")


def test_recipe_reports_the_run_that_it_trained() -> None:
    recipe = Recipe(stages=[{"train": {"name": "mine", "batch-size": 64}}, {"eval knn": None}])
    planned = dict(plan_recipe(recipe, OPTIONS)[0][1])
    assert (planned["train"].batch_size, planned["eval knn"].run) == (64, "mine")
    other = dict(plan_recipe(Recipe(stages=[{"train": {}}, {"eval knn": {"run": "control"}}]), OPTIONS)[0][1])
    assert (other["train"].name, other["eval knn"].run) == (None, "control")


def test_recipe_evaluates_what_was_refined_if_asked() -> None:
    recipe = Recipe(stages=[{"train": None}, {"refine": None}, {"eval knn": {"refined": True}}])
    planned = dict(plan_recipe(recipe, OPTIONS)[0][1])
    assert (planned["refine"].run, planned["eval knn"].run) == (None, None)


ROUNDS = {
    "workspace": "w",
    "stages": [{"train": {"source": "sample", "pairs_arm": "none", "name": "start"}}],
    "rounds": {
        "accept": [0.05, 0.2],
        "stages": [
            {"embed": {"source": "sample", "encoder": "run:{previous}/runs/start"}},
            {"pairs": {"most_similar": "{accept}", "max": 0.99}},
            {"train": {"name": "start"}},
            {"eval knn": None},
        ],
    },
    "full": {"train": {"epochs": 7}},
}


def test_rounds_have_workspaces_and_shares_of_their_own() -> None:
    planned = plan_recipe(Recipe(**ROUNDS), RunOptions(recipe="recipe.yaml", full=True, set=["embed.limit=50"]))
    assert [str(folder) for folder, _ in planned] == ["w/round-0", "w/round-1", "w/round-2"]
    first, second = dict(planned[1][1]), dict(planned[2][1])
    assert (first["embed"].encoder, second["embed"].encoder) == ("run:w/round-0/runs/start", "run:w/round-1/runs/start")
    assert (first["pairs"].most_similar, second["pairs"].most_similar) == (0.05, 0.2)
    assert (first["eval knn"].run, first["embed"].limit, dict(planned[0][1])["train"].epochs) == ("start", 50, 7)


@pytest.mark.parametrize("rounds", [{"accept": [], "stages": []}, {"accept": [0.1], "stages": [{"tran": {}}]}])
def test_rounds_that_cannot_be_are_refused(rounds, tmp_path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**ROUNDS, "rounds": rounds, "full": {}}))
    with pytest.raises(UsageError, match=r"rounds\.accept|tran"):
        run_recipe(RunOptions(recipe=path))


def test_rounds_stopped_in_the_last_go_on_and_skip_what_is_done(tmp_path: Path, capsys, monkeypatch) -> None:
    small = {
        "epochs": 1,
        "batch_size": 8,
        "image_size": 32,
        "stem": "imagenet",
        "dim": 8,
        "device": "cpu",
        "name": "start",
    }
    sample = {"source": "sample", "limit": 24}
    recipe = {
        "workspace": str(tmp_path / "w"),
        "stages": [{"train": {**small, **sample, "pairs_arm": "none"}}],
        "rounds": {
            "accept": [0.25, 0.5],
            "stages": [
                {"embed": {**sample, "encoder": "run:{previous}/runs/start"}},
                {"pairs": {"rule": "knn", "neighbors": 5, "max": 0.9999, "most_similar": "{accept}"}},
                {"train": small},
            ],
        },
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))

    def stopped(name: str, options: Options, workspace: Workspace, force: bool) -> Result:
        if workspace.root.name == "round-2" and name == "train":
            raise KeyboardInterrupt
        return run_logged(name, options, workspace, force)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("miner.run_stages.run_logged", stopped)
        run_recipe(RunOptions(recipe=path))
    done = {file: file.stat().st_mtime_ns for file in (tmp_path / "w").rglob("manifest.json")}
    result = run_recipe(RunOptions(recipe=path))
    assert len(done) == 6 and done == {file: file.stat().st_mtime_ns for file in done}
    counts = [stages["stages"].get("pairs", {}).get("pairs") for stages in result.record["rounds"]]
    assert counts == [None, 6, 12] and result.fresh
    assert "round 2 of 2" in capsys.readouterr().out
    assert not run_recipe(RunOptions(recipe=path)).fresh
