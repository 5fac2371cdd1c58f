"""How the options of a recipe's stages follow from each other."""

from miner.recipe import Recipe, RunOptions, plan_recipe

OPTIONS = RunOptions(recipe="recipe.yaml")


def test_recipe_reports_the_run_that_it_trained() -> None:
    recipe = Recipe(stages=[{"train": {"name": "mine", "batch-size": 64}}, {"eval knn": None}])
    planned = dict(plan_recipe(recipe, OPTIONS))
    assert (planned["train"].batch_size, planned["eval knn"].run) == (64, "mine")
    other = dict(plan_recipe(Recipe(stages=[{"train": {}}, {"eval knn": {"run": "control"}}]), OPTIONS))
    assert (other["train"].name, other["eval knn"].run) == (None, "control")


def test_recipe_evaluates_what_was_refined_if_asked() -> None:
    recipe = Recipe(stages=[{"train": None}, {"refine": None}, {"eval knn": {"refined": True}}])
    planned = dict(plan_recipe(recipe, OPTIONS))
    assert (planned["refine"].run, planned["eval knn"].run) == (None, None)
