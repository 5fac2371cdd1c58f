"""`miner status` and `miner clean`: what a workspace holds, and what of it may go."""

from collections.abc import Sequence
from pathlib import Path

from miner.artifacts.embeddings.manifest import RESULTS as OF_EMBEDDINGS
from miner.artifacts.embeddings.manifest import SCRATCH as OF_EMBEDDING
from miner.artifacts.overview.next_step import next_step
from miner.artifacts.overview.parts import Part, workspace_parts
from miner.artifacts.pairs.against import MATCHES
from miner.artifacts.pairs.manifest import RESULTS as OF_PAIRS
from miner.artifacts.pairs.manifest import SCRATCH as OF_MINING
from miner.artifacts.runs.manifest import RESULTS as OF_RUNS
from miner.artifacts.runs.manifest import SCRATCH as OF_TRAINING
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace, workspace_flag
from miner.commands.options import CleanOptions
from miner.engine import Result, read_json
from miner.errors import UsageError
from miner.machine.memory import format_bytes
from miner.tables import aligned

# The files of stages that may not have finished, as patterns of `StageFolder`; a manifest lists those of all others.
_PATTERNS = (*OF_EMBEDDINGS, *OF_EMBEDDING, *OF_PAIRS, *OF_MINING, *OF_RUNS, *OF_TRAINING, MATCHES)
_PATTERNS += ("images-*.tar", "pairs-*.tar", "images.parquet", "index*.json", "parts/*")
_PATTERNS += ("decisions.jsonl", "review.json")
_OF_EVALUATIONS = ("*.json", "*.pt")
# What goes only if it is named: work of people, and of hours.
_PRECIOUS = ("embeddings", "review", "runs")


def status(workspace: Workspace) -> Result:
    """What is in the workspace, made from what, fresh or stale, how large, and the next command. Nothing is written."""
    parts = workspace_parts(workspace, sources=True)
    rows = [("part", "state", "size", "holds", "made from")]
    rows += [(part.name, part.state, format_bytes(part.size_bytes), part.content, part.made_from) for part in parts]
    lines = [f"status: {workspace.root}, {format_bytes(_size(workspace.root))}"]
    lines += [f"status: at work now: {command}" for command in workspace.working()]
    lines += aligned(rows) if parts else ["status: nothing is here yet"]
    lines += [f"status: {part.name}: {part.note}" for part in parts if part.note]
    record = {"workspace": str(workspace.root), "parts": [_record(part) for part in parts]}
    return Result("status", record, lines, next_command=str(next_step(workspace, parts)))


def clean(options: CleanOptions, workspace: Workspace) -> Result:
    """Remove what is stale or was interrupted, and the named parts; or say what that would free.

    Raises:
        UsageError: a name is no part of the workspace.
        MinerError: another command works in the workspace.
    """
    parts = {part.name: part for part in workspace_parts(workspace)}
    if unknown := [name for name in options.parts if name.rstrip("/") not in parts]:
        raise UsageError(f"{unknown[0]} is no part of {workspace.root} (known: {', '.join(parts) or 'none'}).")
    named = {name.rstrip("/") for name in options.parts}
    old = [part for part in parts.values() if part.state != "fresh" and part.name not in named]
    chosen = [part for part in old if part.state != "damaged" and _may_go(part)]
    going = [*(parts[name] for name in sorted(named)), *(chosen if not named else [])]
    kept = [part for part in old if part not in going]
    total = sum(part.size_bytes for part in going)
    would = "frees" if options.yes else "would free"
    lines = [f"clean: {would} {format_bytes(part.size_bytes)}: {part.name} ({_state(part)})" for part in going]
    lines += [f"clean: keeps {part.name} ({_state(part)}), as it was not named" for part in kept]
    command = ""
    if not going:
        lines.append("clean: nothing is stale or unfinished" if not kept else "clean: nothing to remove")
    elif not options.yes:
        lines.append(f"clean: {format_bytes(total)} in all; nothing has been removed")
        command = f"miner clean {' '.join([*sorted(named), '--yes'])}{workspace_flag(workspace)}  (removes it)"
    else:
        with workspace.locked():
            left = [name for part in going for name in _remove(part.path)]
        lines.append(f"clean: {format_bytes(total)} freed")
        lines += [f"clean: left {name}, which is not of miner" for name in left]
    record = {"removed" if options.yes else "would_remove": [part.name for part in going], "bytes": total}
    return Result("clean", record, lines, next_command=command)


def _may_go(part: Part) -> bool:
    """Whether a part may go without being named: of a run, only what an evaluation has left."""
    return part.name.split("/")[0] not in _PRECIOUS or part.path.suffix == ".parts"


def _remove(path: Path) -> list[Path]:
    """Remove what a stage wrote; returns the files of others, which stay."""
    if path.is_file():  # calibration.json, which lists its pictures
        for name in (read_json(path) or {}).get("files", {}):
            path.with_name(name).unlink(missing_ok=True)
        path.unlink()
    else:
        Stage(path, {}, _OF_EVALUATIONS if path.suffix == ".parts" else _PATTERNS).discard()
    return [file for file in path.rglob("*") if file.is_file()]


def _state(part: Part) -> str:
    return f"{part.state}: {part.note}" if part.note else part.state


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _record(part: Part) -> dict[str, str | int]:
    facts: Sequence[str] = ("name", "made_from", "content", "state", "note")
    return {**{name: getattr(part, name) for name in facts}, "bytes": part.size_bytes}
