"""Tables of the options of every stage, and of the machine that it ran on."""

import json
from collections.abc import Mapping
from typing import Any

from miner.engine import Record
from miner.report.findings import Findings

# Rows (name, value) by the title of their table.
Tables = dict[str, list[tuple[str, str]]]


def request_tables(findings: Findings) -> Tables:
    """The request of each finished stage, as a table."""
    requests: dict[str, Record | None] = {
        "miner embed": findings.embeddings.asked,
        "encoder": findings.embeddings.record["encoder"],
    }
    later = (findings.calibration, findings.pairs, findings.shards, findings.refined, findings.controls)
    requests |= {stage.command: stage.asked for stage in later if stage is not None}
    for run in findings.runs:
        requests[f"miner train, run {run.name}"] = run.request
        for name, evaluation in run.evaluations.items():
            requests[f"miner eval {name}, run {run.name}"] = evaluation.get("request")
    for name, evaluation in findings.encoder.evaluations.items():
        requests[f"miner eval {name} --embeddings"] = evaluation.get("request")
    return {title: _rows(record) for title, record in requests.items() if record}


def environment_tables(findings: Findings) -> Tables:
    """Versions and hardware as tables; stages with the same environment share a table."""
    stages: dict[str, list[str]] = {}
    for name, stage in findings.stages.items():
        stages.setdefault(json.dumps(stage["environment"], sort_keys=True), []).append(name)
    tables = {", ".join(names): _rows(json.loads(text)) for text, names in stages.items()}
    return {title: rows for title, rows in tables.items() if rows}


def _rows(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Values as text; those of a nested record have dotted names."""
    rows = []
    for name, value in sorted(record.items()):
        if isinstance(value, dict):
            rows += [(f"{name}.{inner}", text) for inner, text in _rows(value)]
        else:
            rows.append((name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return rows
