"""The records of a workspace that the page shows: manifests, metrics, evaluations. No image is read here."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import CalibrationRecord, GraphManifest, RefinedManifest, ShardsManifest
from miner.artifacts.overview.parts import Part, workspace_parts
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.review import ReviewRecord, read_review, review_identity
from miner.artifacts.runs.manifest import RunManifest, encoder_evaluations, frozen_evaluations
from miner.artifacts.stage_folder import request_of
from miner.artifacts.workspace import Workspace
from miner.engine import Record, file_record, fingerprint
from miner.errors import MinerError

_LATER = ("calibration", "shards", "refined", "controls")


@dataclass(frozen=True)
class Run:
    """A training run, finished or not.

    Attributes:
        manifest: None while the run is not finished.
        metrics: lines of metrics.jsonl.
        evaluations: records of eval/*.json, by name.
    """

    name: str
    manifest: RunManifest | None
    request: Record
    metrics: list[Record]
    evaluations: dict[str, Record]


@dataclass(frozen=True)
class Findings:
    """The records of all stages; None for a stage that was not run on these embeddings.

    Attributes:
        encoder: the evaluations of the embeddings themselves, under the name of the encoder.
        refined: None also if it was made of a run that was trained again.
        controls: manifest of graph/.
        review: what people said of these pairs; `review_note` is what does not fit, if anything.
        stages: {stage: {"options", "environment"}} from run.json, without this stage.
        parts: of the workspace, without the page.
        identity: fingerprints of all inputs of the page.
    """

    embeddings: EmbeddingsManifest
    pairs: PairsManifest
    calibration: CalibrationRecord | None
    shards: ShardsManifest | None
    refined: RefinedManifest | None
    controls: GraphManifest | None
    review: ReviewRecord | None
    review_note: str
    encoder: Run
    runs: list[Run]
    stages: dict[str, Record]
    parts: list[Part]
    identity: Record


def read_findings(workspace: Workspace) -> Findings:
    """Read the records of a workspace.

    Raises:
        MinerError: embeddings or pairs are missing, the pairs belong to other embeddings or were mined by an earlier version, or a
            record is damaged.
    """
    embeddings = EmbeddingsManifest.read(workspace)
    pairs = PairsManifest.read(workspace, of=embeddings)
    if not pairs.degree.partners:
        raise MinerError(
            f"{workspace.pairs / 'manifest.json'} was written by an earlier version of miner and lacks numbers that the page "
            "shows. Run `miner pairs --force` with the same options first."
        )
    later = (
        CalibrationRecord.find(workspace, of=embeddings),
        ShardsManifest.find(workspace, of=embeddings),
        _refined(workspace, embeddings),
        GraphManifest.find(workspace, of=embeddings),
    )
    runs = [run for folder in workspace.runs() if (run := _read_run(folder)) is not None]
    encoder, review = _read_encoder(workspace, embeddings), read_review(workspace, pairs)
    stages = {
        name: {"options": stage.get("options", {}), "environment": stage.get("environment", {})}
        for name, stage in sorted(workspace.logged().items())
        if name != "report"
    }
    parts = [part for part in workspace_parts(workspace) if part.path != workspace.report]
    identity = {
        "parts": fingerprint([[part.name, part.state, part.content] for part in parts]),
        "embeddings": fingerprint(embeddings.record),
        "pairs": fingerprint(pairs.record),
        **{name: fingerprint(made and made.record) for name, made in zip(_LATER, later, strict=True)},
        "runs": {run.name: _run_identity(workspace.run(run.name), run) for run in runs},
        "stages": fingerprint(stages),
        **({"encoder": fingerprint(encoder.evaluations)} if encoder.evaluations else {}),
        **({"review": review_identity(*review)} if any(review) else {}),
    }
    return Findings(embeddings, pairs, *later, *review, encoder, runs, stages, parts, identity)


def _refined(workspace: Workspace, embeddings: EmbeddingsManifest) -> RefinedManifest | None:
    refined = RefinedManifest.find(workspace, of=embeddings)
    if refined is None or refined.request.run is None:
        return refined
    run = RunManifest.find(workspace.run(refined.request.run))
    return refined if run and run.identity == refined.request.run_files else None


def _read_run(folder: Path) -> Run | None:
    request, metrics = request_of(folder), _lines(folder / "metrics.jsonl")
    if request is None and not metrics:
        return None
    return Run(folder.name, RunManifest.find(folder), request or {}, metrics, frozen_evaluations(folder))


def _read_encoder(workspace: Workspace, embeddings: EmbeddingsManifest) -> Run:
    """The encoder in the place of a run, with the evaluations of these embeddings."""
    return Run(f"encoder {embeddings.encoder.name}", None, {}, [], encoder_evaluations(workspace.root, embeddings))


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
        "record": fingerprint(run.manifest.record if run.manifest else run.request),
        "metrics": file_record(metrics)["sha256"] if metrics.exists() else None,
        "evaluations": fingerprint(run.evaluations),
    }


def number(value: Any) -> float | None:
    """A finite number as float; None for anything else."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None
