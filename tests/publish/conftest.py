"""A finished workspace of real photographs in two image formats, made once, and copied where a test changes it."""

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.engine.result import Result
from miner.export.options import ExportOptions
from miner.pairs.options import PairsOptions
from miner.publish.options import PublishOptions
from miner.publish.run import publish
from miner.run_stages import run_stage
from miner.source import open_source

LICENCES = {"license": "cc-by-4.0", "image_license": "mit"}


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


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def publish_to(folder: Path, workspace: Workspace, force: bool = False, **options: object) -> Result:
    return publish(PublishOptions(to=str(folder), **{**LICENCES, **options}), workspace, force=force)


def miner_verify(folder: Path) -> subprocess.CompletedProcess[str]:
    """`miner verify` as a person runs it."""
    command = [sys.executable, "-m", "miner", "verify", str(folder), "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)
