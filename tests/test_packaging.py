"""What a wheel holds beside the modules."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

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


def pinned(file: str) -> dict[str, str]:
    """The versions in a file of requirements, by the normalised name."""
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / file).read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def test_all_installations_have_the_same_versions() -> None:
    tested, cpu, develop = (
        pinned(name) for name in ("constraints.txt", "constraints-cpu.txt", "requirements-develop.txt")
    )
    assert tested | develop == tested and tested | cpu == tested | {"faiss-cpu": tested["faiss-gpu"]}
    assert not develop.keys() & cpu.keys()


def test_every_version_is_for_the_oldest_python() -> None:
    oldest = "3.11.0"
    needs = {
        name: metadata.metadata(name).get("Requires-Python") for name in pinned("constraints.txt") if is_installed(name)
    }
    assert len(needs) > 50
    assert [name for name, need in needs.items() if need and oldest not in SpecifierSet(need)] == []


def is_installed(name: str) -> bool:
    """Whether a package is installed, in the version that was pinned or another."""
    return next(iter(metadata.distributions(name=name)), None) is not None


def test_every_tool_of_development_is_installed_with_a_hash() -> None:
    text, extras = (ROOT / "requirements-develop.txt").read_text(), tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = extras["project"]["optional-dependencies"]
    wanted = [need for extra in ("dev", "encoders", "graph", "openvino", "ray", "review") for need in extras[extra]]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=]", need)[0]).lower() for need in wanted}
    assert names - {"semantic-pair-miner"} <= pinned("requirements-develop.txt").keys()
    assert all("--hash=sha256:" in part for part in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:])


def test_the_wheel_holds_every_recipe() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    packed = {Path(folder) / path.name: path for folder, (pattern,) in settings.items() for path in ROOT.glob(pattern)}
    recipes = set((ROOT / "pipelines").rglob("*.yaml"))
    assert set(packed.values()) == recipes and len(recipes) > 50
    assert all(str(place).endswith(str(path.relative_to(ROOT))) for place, path in packed.items())
