import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from miner.artifacts.workspace import Workspace
from tests.review.running import StartReview, mine_sample, reviews


@pytest.fixture(scope="session")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Not to be changed: tests work in copies."""
    return mine_sample(tmp_path_factory.mktemp("mined") / "w")


@pytest.fixture
def workspace(mined: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(mined.root, tmp_path / "w")
    return Workspace(tmp_path / "w")


@pytest.fixture
def start_review() -> Iterator[StartReview]:
    with reviews() as start:
        yield start
