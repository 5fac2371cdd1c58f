"""`miner leaks` in this process, with an encoder that takes no time."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from miner.artifacts.workspace import Workspace
from miner.engine import Result
from miner.leaks.options import LeaksOptions
from miner.leaks.run import find_leaks
from tests.embed.small_encoder import small_encoder
from tests.pairs.conftest import make_embeddings
from tests.source.test_hub import hub

__all__ = ["hub", "make_embeddings"]

FindLeaks = Callable[..., Result]


@pytest.fixture(autouse=True)
def quick_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("embed.worker", "embed.encoders.embedded"):
        monkeypatch.setattr(f"miner.{module}.load_encoder", lambda *_: small_encoder())


@pytest.fixture
def find(tmp_path: Path) -> FindLeaks:
    """Compares sets; results lie in `w`."""

    def run(*sets: Path, force: bool = False, **options: object) -> Result:
        chosen = LeaksOptions.parse({"sources": [*map(str, sets)], "device": "cpu", **options})
        return find_leaks(chosen, Workspace(tmp_path / "w"), force=force, quiet=True)

    return run


@pytest.fixture
def kinds(tmp_path: Path) -> Callable[[], dict[tuple[str, str], str]]:
    """The kind of each pair that was found, by the names of its files."""

    def read() -> dict[tuple[str, str], str]:
        rows = pq.read_table(tmp_path / "w/leaks/leaks.parquet").to_pylist()
        return {(Path(row["path_a"]).name, Path(row["path_b"]).name): row["kind"] for row in rows}

    return read
