"""Recipes by name."""

from pathlib import Path

import pytest

from miner import shipped_recipes as shipped
from miner.errors import UsageError
from miner.shipped_recipes import recipe_file

ROOT = Path(__file__).parents[1]
RECORD = """../../../share/semantic-pair-miner/pipelines/demo.yaml,,
../../../share/semantic-pair-miner/pipelines/studies/gentle.yaml,,
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
    for name in ("demo", "studies/gentle"):
        file = tmp_path / f"share/semantic-pair-miner/pipelines/{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    monkeypatch.setattr(shipped, "_IN_CHECKOUT", tmp_path / "none")
    assert list(shipped.shipped_recipes()) == ["demo", "studies/gentle"]
    assert recipe_file(Path("demo")).resolve() == tmp_path / "share/semantic-pair-miner/pipelines/demo.yaml"
