"""What a wheel holds beside the modules."""

import tomllib
from pathlib import Path

from miner.commands.doctor import EXTRAS

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_every_data_file() -> None:
    package = ROOT / "miner"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packed = {path for pattern in settings["package-data"]["miner"] for path in package.glob(pattern)}
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert {path.name for path in files} >= {"page.html", "page.js", "card.md", "shards.md", "py.typed"}
    assert files == packed


def test_doctor_looks_for_every_extra_of_users() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert EXTRAS.keys() == extras.keys() - {"dev", "bench"}


def test_the_wheel_holds_every_recipe() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    packed = {Path(folder) / path.name: path for folder, (pattern,) in settings.items() for path in ROOT.glob(pattern)}
    recipes = set((ROOT / "pipelines").rglob("*.yaml"))
    assert set(packed.values()) == recipes and len(recipes) > 50
    assert all(str(place).endswith(str(path.relative_to(ROOT))) for place, path in packed.items())
