"""The records of a workspace that the page shows: manifests, metrics, evaluations. No image is read here."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miner.artifacts.workspace import Workspace
from miner.engine.records import Record, file_record, fingerprint, read_json
from miner.errors import MinerError

_OWN_STAGE = "report"


@dataclass(frozen=True)
class Run:
    """A training run, finished or not.

    Attributes:
        name: name of its folder.
        manifest: None while the run is not finished.
        request: its request.
        metrics: lines of metrics.jsonl.
        evaluations: records of eval/*.json, by name.
    """

    name: str
    manifest: Record | None
    request: Record
    metrics: list[Record]
    evaluations: dict[str, Record]


@dataclass(frozen=True)
class Findings:
    """The records of all stages.

    Attributes:
        embeddings, pairs: manifests.
        calibration: None if there is no calibration of these embeddings.
        shards: manifest; None if these embeddings were not exported.
        refined: manifest of refined/embeddings/; None if it was made of other embeddings, or of a run that was trained again.
        controls: manifest of graph/; None if it was made of other embeddings.
        runs: by name.
        stages: {stage: {"options", "environment"}} from run.json, without this stage.
        identity: fingerprints of all inputs of the page.
    """

    embeddings: Record
    pairs: Record
    calibration: Record | None
    shards: Record | None
    refined: Record | None
    controls: Record | None
    runs: list[Run]
    stages: dict[str, Record]
    identity: Record


def read_findings(workspace: Workspace) -> Findings:
    """Read the records of a workspace.

    Raises:
        MinerError: embeddings or pairs are missing, the pairs belong to other embeddings or were mined by an earlier version, or a
            record is damaged.
    """
    embeddings = workspace.manifest(workspace.embeddings)
    pairs = workspace.manifest(workspace.pairs)
    images = fingerprint(embeddings["files"])
    if pairs["request"]["embeddings"] != images:
        raise MinerError("The pairs belong to other embeddings. Run `miner pairs --force` first.")
    if "partners" not in pairs["degree"]:
        raise MinerError(
            f"{workspace.pairs / 'manifest.json'} was written by an earlier version of miner and lacks numbers that the page "
            "shows. Run `miner pairs --force` with the same options first."
        )
    calibration = _of_these(read_json(workspace.calibration), images)
    shards = _of_these(read_json(workspace.shards / "manifest.json"), images)
    refined = _refined(workspace, images)
    controls = _of_these(read_json(workspace.root / "graph" / "manifest.json"), images)
    runs = [run for folder in workspace.runs() if (run := _read_run(folder)) is not None]
    stages = _stages(workspace)
    identity = {
        "embeddings": fingerprint(embeddings),
        "pairs": fingerprint(pairs),
        "calibration": fingerprint(calibration),
        "shards": fingerprint(shards),
        "refined": fingerprint(refined),
        "controls": fingerprint(controls),
        "runs": {run.name: _run_identity(workspace.run(run.name), run) for run in runs},
        "stages": fingerprint(stages),
    }
    return Findings(embeddings, pairs, calibration, shards, refined, controls, runs, stages, identity)


def _of_these(record: Record | None, images: str) -> Record | None:
    """The record if its request names the embeddings with fingerprint `images`, else None."""
    return record if record is not None and record.get("request", {}).get("embeddings") == images else None


def _refined(workspace: Workspace, images: str) -> Record | None:
    folder = Workspace(workspace.root / "refined").embeddings
    record = _of_these(read_json(folder / "manifest.json"), images)
    if record is None or record["request"].get("run") is None:
        return record
    run = read_json(workspace.run(record["request"]["run"]) / "manifest.json")
    return record if run and fingerprint(run["files"]) == record["request"]["run_files"] else None


def _read_run(folder: Path) -> Run | None:
    manifest = read_json(folder / "manifest.json")
    request = (manifest or {}).get("request") or read_json(folder / "request.json")
    metrics = _lines(folder / "metrics.jsonl")
    if request is None and not metrics:
        return None
    evaluations = {path.stem: read_json(path) or {} for path in sorted((folder / "eval").glob("*.json"))}
    return Run(folder.name, manifest, request or {}, metrics, evaluations)


def _lines(path: Path) -> list[Record]:
    """The records of a JSON-lines file, without a line that a killed process has left unfinished."""
    lines: list[Record] = []
    for text in path.read_bytes().splitlines() if path.exists() else []:
        try:
            record = json.loads(text)
        except ValueError:
            continue
        if isinstance(record, dict):
            lines.append(record)
    return lines


def _run_identity(folder: Path, run: Run) -> Record:
    metrics = folder / "metrics.jsonl"
    return {
        "record": fingerprint(run.manifest or run.request),
        "metrics": file_record(metrics)["sha256"] if metrics.exists() else None,
        "evaluations": fingerprint(run.evaluations),
    }


def _stages(workspace: Workspace) -> dict[str, Record]:
    logged = (read_json(workspace.root / "run.json") or {}).get("stages", {})
    return {
        name: {"options": stage.get("options", {}), "environment": stage.get("environment", {})}
        for name, stage in sorted(logged.items())
        if name != _OWN_STAGE
    }


def number(value: Any) -> float | None:
    """A finite number as float; None for anything else."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None
