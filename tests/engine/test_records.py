from pathlib import Path

import pytest

from miner.engine.records import read_json
from miner.errors import MinerError


def test_damaged_manifest_is_explained(tmp_path: Path) -> None:
    for text in ("{", "[1]", "\x00"):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(MinerError, match="damaged"):
            read_json(tmp_path / "manifest.json")
