"""The command that adds an optional part to the package."""

from pathlib import Path

import pytest

from miner import errors


def test_extra_is_added_to_the_package_as_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert errors.install_extra("ray") == "pip install -e '.[ray]'"
    monkeypatch.setattr(errors, "_CHECKOUT", tmp_path / "pyproject.toml")
    assert errors.install_extra("ray") == "pip install 'semantic-pair-miner[ray]'"
