"""Recipes by name, and that they can run."""

import re
from pathlib import Path

import pytest
import yaml

from miner import shipped_recipes as shipped
from miner.errors import UsageError
from miner.recipe import RunOptions
from miner.shipped_recipes import recipe_file
from tests.docs.command_line import check_recipe

ROOT = Path(__file__).parents[1]
RECORD = """../../../share/semantic-pair-miner/pipelines/demo.yaml,,
../../../share/semantic-pair-miner/pipelines/studies/label_free.yaml,,
miner/pipelines.py,,
"""


def test_recipe_of_the_checkout_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert recipe_file(Path("demo")) == ROOT / "pipelines/demo.yaml"
    assert recipe_file(Path("recipes/cifar10/moco")) == ROOT / "pipelines/recipes/cifar10/moco.yaml"


def test_own_file_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo").write_text("name: mine")
    assert recipe_file(Path("demo")) == Path("demo")
    assert recipe_file(Path("nowhere.yaml")) == Path("nowhere.yaml")


def test_unknown_name_lists_the_recipes() -> None:
    with pytest.raises(
        UsageError, match=r"no recipe of this name\. The recipes are: cifar10, .*demo, .*studies/pairs_cpu"
    ):
        recipe_file(Path("demmo"))


def test_recipe_of_a_wheel_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = tmp_path / "lib/python3/site-packages"
    folder = packages / "semantic_pair_miner-0.1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: semantic-pair-miner\nVersion: 0.1.0\n")
    (folder / "RECORD").write_text(RECORD)
    monkeypatch.syspath_prepend(packages)
    for name in ("demo", "studies/label_free"):
        file = tmp_path / f"share/semantic-pair-miner/pipelines/{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    monkeypatch.setattr(shipped, "_IN_CHECKOUT", tmp_path / "none")
    assert list(shipped.shipped_recipes()) == ["demo", "studies/label_free"]
    assert recipe_file(Path("demo")).resolve() == tmp_path / "share/semantic-pair-miner/pipelines/demo.yaml"


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipe_and_the_commands_of_its_notes_can_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    check_recipe(RunOptions(recipe=path))
    notes = yaml.safe_load(path.read_text()).get("notes", "")
    assert "--set" not in notes  # a changed source would be that of every `train`
    for command in re.findall(r"miner run (\S+\.yaml)( --full)?", notes):
        check_recipe(RunOptions(recipe=Path(command[0]), full=bool(command[1])))


def test_sepp_id_on_cifar10_has_other_images_alone() -> None:
    sample, cifar10 = (
        yaml.safe_load((ROOT / f"pipelines/{name}.yaml").read_text()) for name in ("sepp_id", "cifar10_sepp_id")
    )
    images = {"source": "cifar10", "limit": 5000}
    for stage in (*sample["stages"], *sample["rounds"]["stages"]):
        for options in stage.values():
            options |= images if "source" in options else {}
    for recipe in (sample, cifar10):
        del recipe["workspace"], recipe["notes"]
    assert sample == cifar10
