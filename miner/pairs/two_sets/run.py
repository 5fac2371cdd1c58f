"""`miner pairs --against OTHER`: pairs between the images of the workspace and those of another set."""

import numpy as np

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.manifests import CalibrationRecord
from miner.artifacts.pairs.against import MATCHES, AgainstManifest
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.manifest import SCRATCH
from miner.artifacts.pairs.table import write_pairs
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, committed
from miner.errors import UsageError
from miner.machine.executor import executor_for
from miner.pairs.engines.base import FloodError
from miner.pairs.options import PairsOptions
from miner.pairs.two_sets.other_set import VectorSet, open_other
from miner.text import counted


def pairs_between(options: PairsOptions, workspace: Workspace, force: bool, strip_rows: int) -> Result:
    """Search, and write `against/NAME/`; the arguments as of `miner.pairs.run.pairs`.

    Raises:
        MinerError: there are no embeddings, here or there, or not of one encoder; there are more pairs than --max-pairs; or the
            folder holds the pairs of another request.
    """
    embeddings = EmbeddingsManifest.read(workspace)
    low, high = options.limits
    band = Band(low, 1.0 if high is None else high)
    if options.auto:
        band = CalibrationRecord.read(workspace, of=embeddings).band
    other, embedded = open_other(options, workspace, force)
    neighbors = options.chosen_rule.neighbors if options.chosen_rule.name == "knn" else None
    if neighbors is not None and neighbors > len(other):
        raise UsageError(f"--neighbors {neighbors}: {other.name} has only {counted(len(other), 'image')}.")
    request = {
        "embeddings": embeddings.identity,
        "against": other.identity,
        "band": band.record(),
        "neighbors": neighbors,
    }
    stage = Stage(workspace.against(other.name), request, [MATCHES], SCRATCH)
    if not force and (manifest := stage.finished()):
        return _result_of(manifest, stage, embedded, fresh=False)
    if not force:
        stage.refuse_another()
    from miner.pairs.two_sets.search import TwoSets

    here = VectorSet.of(workspace, workspace.root.resolve().name)
    executor = executor_for(options.engine_address, options.device)
    sets = TwoSets(options, here, other, band, neighbors, executor, strip_rows)
    _ = sets.memory  # the last thing that can be refused; from here on an old result may be removed
    stage.begin(force)
    try:
        found = sets.pairs(stage.folder / "parts")
    except FloodError:
        stage.discard()
        raise
    path = stage.folder / MATCHES
    with committed(path) as partial:
        columns = found.a, found.b, found.similarity, found.evidence
        write_pairs(partial, *columns, here.keys, here.labels, (other.keys, other.labels))
    record = {
        "encoder": embeddings.record["encoder"],
        "here": _side(here, found.a),
        "there": _side(other, found.b),
        "pairs": len(found),
        "exact": True,
    }
    return _result_of(stage.finish(record, [path]), stage, embedded)


def _side(images: VectorSet, rows: Rows) -> Record:
    return {"name": images.name, "images": len(images), "images_in_pairs": len(np.unique(rows))}


def _result_of(manifest: Record, stage: Stage, embedded: list[str], fresh: bool = True) -> Result:
    path = stage.folder / "manifest.json"
    made = AgainstManifest.of(manifest, path)
    here, there = made.here, made.there
    lines = [
        *embedded,
        f"pairs: {counted(made.pairs, 'pair')} of {here.images_in_pairs:,} of the {counted(here.images, 'image')} here and "
        f"{there.images_in_pairs:,} of the {there.images:,} of {there.name}, {made.request.condition}, exact, in {stage.folder}",
    ]
    if not made.pairs:
        lines.append(
            "Warning: no image here has a pair there. Lower --min, or ask for the nearest images with --neighbors."
        )
    headline = [("pairs", f"{made.pairs:,} with {there.name}")]
    verdict = (
        f"{here.images_in_pairs / max(here.images, 1):.0%} of the images here and "
        f"{there.images_in_pairs / max(there.images, 1):.0%} of those of {there.name} are in a pair; how many pairs are right is "
        "not measured between two sets"
    )
    return Result(f"pairs against {stage.folder.name}", manifest, lines, fresh, headline, path=path, verdict=verdict)
