"""The command that adds an optional part to the package."""

from pathlib import Path

import pytest

from miner.errors import install_extra

EDITABLE = '{"dir_info": {"editable": true}, "url": "file:///a/checkout"}'
FROM_ARCHIVE = '{"archive_info": {}, "url": "https://example.org/a.whl"}'


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (EDITABLE, "pip install -e '.[ray]'"),
        (FROM_ARCHIVE, "pip install 'semantic-pair-miner[ray]'"),
        (None, "pip install 'semantic-pair-miner[ray]'"),
    ],
)
def test_extra_is_added_to_the_package_as_it_is_installed(
    origin: str | None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "semantic_pair_miner-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: semantic-pair-miner\nVersion: 0.1.0\n")
    if origin is not None:
        (folder / "direct_url.json").write_text(origin)
    monkeypatch.syspath_prepend(tmp_path)
    install_extra.cache_clear()
    assert install_extra("ray") == command
    install_extra.cache_clear()
