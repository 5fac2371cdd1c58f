"""`miner report`: one HTML page about a workspace, which holds everything that it shows."""

from miner import __version__
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, same_file, write_bytes
from miner.report.findings import read_findings
from miner.report.options import ReportOptions
from miner.text import counted

PAGE = "index.html"


def report(options: ReportOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Write `report/index.html`. If another stage has changed since, the page is written again, also without `force`.

    Raises:
        MinerError: embeddings or pairs are missing, do not belong together, or are damaged; or the disk is full.
    """
    findings = read_findings(workspace)
    request = {"miner_version": __version__, "inputs": findings.identity, **options.request()}
    stage = Stage(workspace.report, request, (PAGE,))
    if not force and (manifest := _written(stage)) is not None:
        return _result(manifest, workspace, fresh=False)

    from miner.report.page import build_page

    # Built before the old page is removed: if this fails, the old page stays.
    page = build_page(options, workspace, findings).encode("utf-8", "backslashreplace")
    record = {
        "pairs_shown": min(options.gallery, findings.pairs.pairs),
        "runs": [run.name for run in findings.runs],
        "evaluated": [run.name for run in findings.runs if run.evaluations],
    }
    with workspace.writing():
        stage.begin(force=True)
        write_bytes(stage.folder / PAGE, page)
        manifest = stage.finish(record, [stage.folder / PAGE])
    return _result(manifest, workspace)


def _written(stage: Stage) -> Record | None:
    """The manifest, if the page is still the one that this request wrote."""
    manifest, page = stage.finished(), stage.folder / PAGE
    return manifest if manifest is not None and same_file(page, manifest["files"].get(PAGE)) else None


def _result(manifest: Record, workspace: Workspace, fresh: bool = True) -> Result:
    size_mb = manifest["files"][PAGE]["bytes"] / 1e6
    runs = f", {counted(len(manifest['runs']), 'training run')}" if manifest["runs"] else ""
    line = f"report: {manifest['pairs_shown']} pairs{runs}, {size_mb:.1f} MB, in {workspace.report / PAGE}"
    headline = [("report", str(workspace.report / PAGE))]
    page = workspace.report / PAGE
    return Result("report", manifest, [line], fresh, headline, path=workspace.report / "manifest.json", page=page)
