"""A small workspace, and the data set that `miner publish` makes of it."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import config

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.publish.options import PublishOptions
from miner.publish.run import publish

EXAMPLES = Path(__file__).parents[2] / "examples"

Example = Callable[..., list[float]]


@pytest.fixture(scope="session")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the workspace `w` of 64 photographs, and the data set `set` that was published of it."""
    root = tmp_path_factory.mktemp("examples")
    workspace = Workspace(root / "w")
    embed(EmbedOptions(source="sample", limit=64), workspace)
    pairs(PairsOptions(rule="mutual", neighbors=2, max=0.95), workspace)
    export(ExportOptions(references=True), workspace)
    publish(PublishOptions(to=str(root / "set"), license="cc-by-4.0", image_license="mit"), workspace)
    return root


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Example]:
    """The function `main` of a script."""
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def main_of(name: str) -> Example:
        main: Example = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
        return main

    return main_of
