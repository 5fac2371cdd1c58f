"""`miner start`: from a folder of images to pairs and a report, in one command."""

import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import CalibrationRecord
from miner.artifacts.overview.next_step import next_step
from miner.artifacts.overview.parts import workspace_parts
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.review import pairs_verdict
from miner.artifacts.workspace import DEFAULT_WORKSPACE, Workspace, workspace_flag
from miner.commands.options import StartOptions
from miner.engine import Result, part_of_whole, time_in_words
from miner.options import Options
from miner.pairs.calibration.summary import recommended
from miner.pairs.options import CalibrateOptions
from miner.report.options import ReportOptions
from miner.run_stages import run_stage, say
from miner.source import open_source
from miner.source.location import canonical
from miner.stages import STAGES

# Seconds of a stage beside its encoder, on two cores; pairs and the comparison of rules grow with the square of the images.
_COMPARISON_S, _PAIRS_S, _REPORT_S, _PER_SQUARE_S = 6.0, 2.0, 3.0, 1.3e-8


def start(options: StartOptions, folder: Path | None, force: bool = False, quiet: bool = False) -> Result:
    """Embed, calibrate, mine by the recommended rule, and write the report. What is finished is skipped.

    Args:
        folder: the workspace; if None, it is named after the source.
        quiet: say nothing on standard output while working.
    Raises:
        MinerError: a stage failed; or the workspace holds the result of another request, and `force` is False.
    """
    workspace = Workspace(folder or named_after(options.source))
    device = {"device": options.device.split(",")[0]}
    images = len(open_source(options.source).entries[: options.limit])
    calibrate = CalibrateOptions.parse(device)
    views, search_s = 2 * min(calibrate.images, images), _PER_SQUARE_S * images**2
    after = {
        "embed": lambda rate: views / rate + _COMPARISON_S + _PAIRS_S + 2 * search_s + _REPORT_S,
        "calibrate": lambda rate: _COMPARISON_S + _PAIRS_S + 2 * search_s + _REPORT_S,
        "pairs": lambda rate: _REPORT_S,
        "report": lambda rate: 0.0,
    }
    plan: dict[str, Callable[[], Options]] = {
        "embed": lambda: STAGES["embed"].options.parse(dict(options)),
        "calibrate": lambda: calibrate,
        "pairs": lambda: recommended(CalibrationRecord.read(workspace)).model_copy(update={"device": options.device}),
        "report": ReportOptions,
    }
    results, records = [], {}
    for number, (name, stage_options) in enumerate(plan.items(), 1):
        place, started = f"{number}/{len(plan)}", time.monotonic()
        with part_of_whole(f"{place} {name}", after[name]):
            result = run_stage(name, stage_options(), workspace, force)
        took = time_in_words(time.monotonic() - started) if result.fresh else "was finished before"
        say("\n".join([f"{place} {name} ({took})", *(f"  {line}" for line in result.told)]), quiet)
        results.append(result)
        records[name] = result.record
    return Result(
        "start",
        {
            "workspace": str(workspace.root),
            "verdict": pairs_verdict(workspace, PairsManifest.read(workspace)),
            "stages": records,
        },
        _ending(workspace, results[-1].page),
        any(result.fresh for result in results),
        page=results[-1].page,
        next_command=str(next_step(workspace, workspace_parts(workspace))),
    )


def named_after(source: str) -> Path:
    """The workspace of a source: a folder beside the default one, named after its last part without wildcards."""
    names = (
        re.sub(r"\W+", "-", re.split(r"[*?\[{]", part)[0]).strip("-") for part in canonical(source).split("/")[::-1]
    )
    return DEFAULT_WORKSPACE.with_name(next(filter(None, names), DEFAULT_WORKSPACE.name))


def _ending(workspace: Workspace, page: Path | None) -> list[str]:
    """What came out, whether it is good, and what it can be used for."""
    flag, made = workspace_flag(workspace), PairsManifest.read(workspace)
    lines = [
        "",
        f"start: {made.pairs:,} pairs of {EmbeddingsManifest.read(workspace).count:,} images in {workspace.root}",
        f"start: {pairs_verdict(workspace, made)}",
        f"  look at them   {page.absolute().as_uri() if page else ''}",
        f"  try other ones miner explore --open{flag}",
        f"  are they right miner review --open{flag}",
        f"  use them       miner export{flag}, or in Python: miner.open({str(workspace.root)!r}).pair_dataset()",
        f"  train on them  miner train{flag}",
    ]
    saves = f"export MINER_WORKSPACE={shlex.quote(str(workspace.root))}"
    return [*lines, f"start: `{saves}` makes{flag} the default of this shell"] if flag else lines
