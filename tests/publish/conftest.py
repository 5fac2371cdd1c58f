"""A finished workspace of real photographs in two image formats, made once, and copied where a test changes it."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.export.options import ExportOptions
from miner.pairs.options import PairsOptions
from miner.publish.options import PublishOptions
from miner.publish.run import publish
from miner.run_stages import run_stage
from miner.source import open_source
from tests.publish.folders import LICENCES


@pytest.fixture(scope="session")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """25 photographs of 3 classes, JPEG and PNG, two of them equal; embedded, mined and exported. Not to be changed."""
    root = tmp_path_factory.mktemp("mined")
    sample = open_source("sample")
    chosen = [entry for entry in sample.entries if (entry.label or 0) < 3][:24]
    for number, entry in enumerate(chosen):
        path = root / "photos" / f"class{entry.label}" / f"{number:03d}.{'png' if number % 3 == 0 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(io.BytesIO(sample.read(entry))).convert("RGB").resize((40, 40)).save(path)
    shutil.copy(path, path.with_stem("copy"))
    workspace = Workspace(root / "w")
    run_stage("embed", EmbedOptions(source=str(root / "photos"), block_size=16), workspace, False)
    run_stage("pairs", PairsOptions(min=0.5, max=0.93), workspace, False)
    run_stage("export", ExportOptions(), workspace, False)
    return workspace


@pytest.fixture
def workspace(mined: Workspace, tmp_path: Path) -> Workspace:
    """A copy to change."""
    shutil.copytree(mined.root, tmp_path / "w")
    return Workspace(tmp_path / "w")


@pytest.fixture
def published(mined: Workspace, tmp_path: Path) -> Callable[..., Path]:
    """Publishes the workspace to a folder."""

    def to(name: str = "set", **options: object) -> Path:
        publish(PublishOptions(to=str(tmp_path / name), **{**LICENCES, **options}), mined)
        return tmp_path / name

    return to
