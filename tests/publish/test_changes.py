"""A release over the release before it: what changed, in words and as JSON, also after a kill."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.publish import link_files, run
from miner.publish.hub import Upload
from miner.publish.options import PublishOptions
from miner.publish.run import publish
from miner.verify.run import verify
from tests.publish.folders import LICENCES, contents, publish_to


def mine_again(workspace: Workspace, low: float, high: float, **options: bool) -> set[tuple[str, str]]:
    """Other pairs in the workspace."""
    pairs(PairsOptions(min=low, max=high), workspace, force=True)
    export(ExportOptions(**options), workspace, force=True)
    return known_pairs(workspace.shards)


def known_pairs(folder: Path) -> set[tuple[str, str]]:
    return {(row["key_a"], row["key_b"]) for row in pq.read_table(folder / "pairs.parquet").to_pylist()}


@pytest.fixture
def released(workspace: Workspace, tmp_path: Path) -> Path:
    """Release 1.0.0 in a folder; the workspace has other pairs by now, and one image fewer."""
    mine_again(workspace, 0.5, 0.75)
    publish_to(tmp_path / "set", workspace)
    mine_again(workspace, 0.6, 0.93, without_duplicates=True)
    return tmp_path / "set"


def test_a_release_says_what_it_changed(released: Path, workspace: Workspace) -> None:
    old, new = known_pairs(released / "data"), known_pairs(workspace.shards)
    assert new - old and old - new
    result = publish_to(released, workspace, release="1.1.0")
    (entry,) = json.loads((released / "changes.json").read_text())["releases"]
    assert (entry["release"], entry["since"]) == ("1.1.0", "1.0.0")
    numbers = {what: entry["pairs"][what]["count"] for what in ("added", "removed", "kept")}
    assert numbers == {"added": len(new - old), "removed": len(old - new), "kept": len(old & new)}
    assert {tuple(pair.split()) for pair in entry["pairs"]["added"]["first"]} <= new - old
    assert {what: found["count"] for what, found in entry["images"].items()} == {
        **{"added": 0, "removed": 1, "changed": 0, "kept": 24}
    }
    words = (
        f"1.1.0, since 1.0.0: pairs: {len(new - old)} added, {len(old - new)} removed, {len(old & new)} kept; images: "
    )
    assert (
        result.lines[-1].startswith(f"publish: release {words}")
        and f"- {words}" in (released / "README.md").read_text()
    )
    assert verify(str(released)).record["checked"]
    assert not publish_to(released, workspace, release="1.1.0").fresh


def test_a_table_that_stays_the_same_is_not_written_again(workspace: Workspace, tmp_path: Path) -> None:
    mine_again(workspace, 0.5, 0.75)
    folder = tmp_path / "set"
    table = folder / "anchor-positive/train-00000-of-00001.parquet"
    publish_to(folder, workspace)
    content, written = table.read_bytes(), table.stat().st_mtime_ns
    publish_to(folder, workspace, release="1.1.0", title="Another title")
    assert table.stat().st_mtime_ns == written and "# Another title" in (folder / "README.md").read_text()
    verify(str(folder))
    table.write_bytes(content[:-1] + b"x")
    publish_to(folder, workspace, release="1.2.0")
    assert table.read_bytes() == content
    publish_to(folder, workspace, release="1.3.0", hard_negatives=1)
    assert table.read_bytes() != content


def test_releases_before_stay_in_the_list(released: Path, workspace: Workspace) -> None:
    publish_to(released, workspace, release="1.1.0")
    first = json.loads((released / "changes.json").read_text())["releases"]
    image = pq.read_table(workspace.shards / "images.parquet")
    mine_again(workspace, 0.7, 0.93)
    publish_to(released, workspace, release="1.10.0")
    second = json.loads((released / "changes.json").read_text())["releases"]
    assert second[1:] == first and (second[0]["release"], second[0]["since"]) == ("1.10.0", "1.1.0")
    assert second[0]["images"]["added"]["first"][0] not in image["key"].to_pylist()
    mine_again(workspace, 0.8, 0.93)
    with pytest.raises(MinerError, match=r"--release above 1\.10\.0 to write what changed since"):
        publish_to(released, workspace, release="1.9.0")
    publish_to(released, workspace, release="1.9.0", force=True)
    assert json.loads((released / "changes.json").read_text())["releases"] == first


def test_another_data_set_is_no_release_before(released: Path, workspace: Workspace) -> None:
    moved = released.rename(released.with_name("other"))
    with pytest.raises(MinerError, match="holds another data set"):
        publish_to(moved, workspace, release="1.1.0")
    publish_to(moved, workspace, release="1.1.0", force=True)
    assert not (moved / "changes.json").exists()


@pytest.mark.parametrize("step", ["_remove", "write_json", "link_or_copy", "write_bytes"])
def test_a_killed_release_ends_with_the_same_bytes(
    step: str, released: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(released, released.parent / "copy" / "set")
    publish_to(released, workspace, release="1.1.0")
    folder = released.parent / "copy" / "set"

    def killed(*arguments: object) -> None:
        if step == "_remove":
            (folder / "manifest.json").unlink()
            (folder / "data" / "pairs.parquet").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(link_files if step == "_remove" else run, step, killed)
        with pytest.raises(KeyboardInterrupt):
            publish_to(folder, workspace, release="1.1.0")
    publish_to(folder, workspace, release="1.1.0")
    assert contents(folder) == contents(released)


def test_a_dry_run_says_what_would_change(released: Path, workspace: Workspace) -> None:
    before = contents(released)
    result = publish_to(released, workspace, release="2.0.0", dry_run=True)
    assert "publish: release 2.0.0, since 1.0.0: pairs: " in result.lines[-2]
    assert contents(released) == before


def test_the_hub_takes_a_release_over_the_one_before(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[bool] = []

    def upload(*arguments: object, force: bool, **others: object) -> Upload:
        forced.append(force)
        return Upload("https://hub", "0" * 40, fresh=True)

    monkeypatch.setattr(run, "upload", upload)
    publish(PublishOptions(to="hf://someone/set", **LICENCES), workspace)
    mine_again(workspace, 0.6, 0.93)
    publish(PublishOptions(to="hf://someone/set", release="1.1.0", **LICENCES), workspace)
    assert forced == [False, True]
