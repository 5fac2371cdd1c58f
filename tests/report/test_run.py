"""The report is a view: the same inputs give the same bytes, other inputs another page."""

import json
from pathlib import Path

import pytest

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.workspace import Workspace
from miner.engine.records import Result
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.report.options import ReportOptions
from miner.report.run import report
from tests.report.workspaces import mine


def run(workspace: Workspace, gallery: int = 6) -> Result:
    """Report and log it, as the command line does; the log is an input, but not its line about the report."""
    result = report(ReportOptions(gallery=gallery), workspace)
    workspace.log_stage("report", {"gallery": gallery}, result, 1.0)
    return result


def page(workspace: Workspace) -> bytes:
    return (workspace.report / "index.html").read_bytes()


def test_the_same_inputs_give_the_same_bytes(make_workspace, add_run):
    first, second = make_workspace(name="first"), make_workspace(name="second")
    for workspace in (first, second):
        add_run(workspace, knn=True)
        run(workspace)
    assert page(first) == page(second)
    assert (first.report / "manifest.json").read_bytes() == (second.report / "manifest.json").read_bytes()


def test_a_rerun_does_nothing_and_force_writes_the_same_again(make_workspace):
    workspace = make_workspace()
    assert run(workspace).fresh
    written, times = page(workspace), (workspace.report / "index.html").stat().st_mtime_ns
    assert not run(workspace).fresh
    assert (workspace.report / "index.html").stat().st_mtime_ns == times
    assert report(ReportOptions(gallery=6), workspace, force=True).fresh
    assert page(workspace) == written


def test_files_of_others_beside_the_inputs_change_nothing(make_workspace, add_run):
    workspace = make_workspace()
    export(ExportOptions(), workspace)
    add_run(workspace, knn=True)
    run(workspace)
    before = page(workspace)
    (workspace.shards / "images-holiday.tar").write_bytes(b"of the user")
    (workspace.run("moco") / "eval" / "notes.json").write_bytes(b"of the user")
    assert not run(workspace).fresh
    assert report(ReportOptions(gallery=6), workspace, force=True).fresh
    assert page(workspace) == before


def test_other_pairs_rewrite_the_page_without_force(make_workspace):
    workspace = make_workspace()
    run(workspace)
    before = page(workspace)
    mine(workspace, {"min": 0.4, "max": 0.8})
    assert run(workspace).fresh
    assert page(workspace) != before and b"0.4 to 0.8" in page(workspace)


def test_other_options_rewrite_the_page(make_workspace):
    workspace = make_workspace()
    run(workspace, gallery=6)
    assert run(workspace, gallery=7).record["pairs_shown"] == 7


@pytest.mark.parametrize("change", ["metrics", "evaluation", "calibration", "log"])
def test_every_input_counts(change: str, make_workspace, add_run):
    workspace = make_workspace()
    add_run(workspace, knn=True)
    run(workspace)
    folder = workspace.run("moco")
    if change == "metrics":
        with (folder / "metrics.jsonl").open("a") as stream:
            stream.write('\n{"step": 70, "loss": 9.0}\n')
    elif change == "evaluation":
        _replace(folder / "eval" / "knn.json", "87.6", "88.8")
    elif change == "calibration":
        request = {"embeddings": EmbeddingsManifest.read(workspace).identity}
        found = {"band": {"min": 0.31, "max": 0.71}, "images": 40, "estimated_pairs": 5}
        workspace.calibration.write_text(json.dumps({"request": request, **found}))
    else:
        workspace.log_stage("embed", {"dtype": "float16"}, Result("embed", {}), 1.0)
    before = page(workspace)
    assert run(workspace).fresh
    assert page(workspace) != before
    assert not run(workspace).fresh


def test_a_page_that_was_edited_or_deleted_is_written_again(make_workspace):
    workspace = make_workspace()
    run(workspace)
    written = page(workspace)
    (workspace.report / "index.html").write_bytes(b"something else")
    assert run(workspace).fresh and page(workspace) == written
    (workspace.report / "index.html").unlink()
    assert run(workspace).fresh and page(workspace) == written


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
