"""The parts of a workspace, in the order in which stages make them."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from miner.artifacts.decisions import read_decisions
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import (
    CalibrationRecord,
    GraphManifest,
    PublishedManifest,
    RefinedManifest,
    ShardsManifest,
)
from miner.artifacts.pairs.against import AgainstManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.review import read_review, review_identity
from miner.artifacts.runs.inputs import possible_inputs
from miner.artifacts.runs.manifest import RunManifest, encoder_evaluations, frozen_evaluations
from miner.artifacts.stage_folder import request_of
from miner.artifacts.workspace import Workspace
from miner.engine import Record, fingerprint, read_json
from miner.errors import MinerError
from miner.source.base import source_fingerprint
from miner.source.location import local_path
from miner.text import counted

_EVALUATIONS = ("knn", "linear", "finetune", "transfer", "detect")
State = Literal["fresh", "stale", "unfinished", "damaged"]


@dataclass(frozen=True)
class Part:
    """A result of a stage, or what an interrupted stage has left.

    Attributes:
        name: its path below the workspace.
        made_from: the parts or the source that it was made from.
        content: how much is in it.
        note: of a part that is not fresh, what does not fit.
    """

    path: Path
    name: str
    made_from: str
    content: str = ""
    state: State = "fresh"
    note: str = ""

    @property
    def size_bytes(self) -> int:
        """Bytes of what its record lists; of an unfinished part, of all that is there."""
        with suppress(
            MinerError, LookupError, TypeError, AttributeError
        ):  # of a damaged record, or where there is none
            return sum(file["bytes"] for file in read_json(self.path / "manifest.json")["files"].values())  # type: ignore[index]
        files = [self.path] if self.path.is_file() else self.path.rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())


def workspace_parts(workspace: Workspace, sources: bool = False) -> list[Part]:
    """All parts that exist.

    Args:
        sources: whether to list the images of a local source again, and compare them with those that were embedded.
    """
    found: list[Part] = []
    for path, made_from, look in _places(workspace, sources):
        if not path.exists():
            continue
        name, finished = str(path.relative_to(workspace.root)), path.is_file() or (path / "manifest.json").exists()
        if not finished and (path / "request.json").exists():
            found.append(Part(path, name, made_from, state="unfinished", note="the same command continues"))
        elif finished or look is _review:
            try:
                content, note = look(workspace, path)
                found.append(Part(path, name, made_from, content, "stale" if note else "fresh", note))
            except MinerError as error:
                found.append(Part(path, name, made_from, state="damaged", note=str(error)))
    return found


# What is in a part, and what of it does not fit the others, if anything.
_Look = Callable[[Workspace, Path], tuple[str, str]]


def _places(workspace: Workspace, sources: bool) -> Iterator[tuple[Path, str, _Look]]:
    """Where a part may be, what it is made from, and what looks at it."""
    yield workspace.embeddings, _source_of(workspace), _embeddings_and_source if sources else _embeddings
    yield workspace.calibration, "embeddings", _calibration
    yield workspace.pairs, "embeddings", _pairs
    for folder in sorted((workspace.root / "against").glob("*")):
        yield folder, "embeddings, another set", _against
    yield workspace.review, "pairs", _review
    yield workspace.shards, "embeddings, pairs", _shards
    for folder in workspace.runs():
        yield folder, "images, pairs", _run
        for parts in sorted((folder / "eval").glob("*.parts")):
            yield parts, folder.name, _run
    yield workspace.refined.embeddings, "embeddings", _refined
    yield workspace.graph, "embeddings", _graph
    yield workspace.published, "embeddings, pairs, shards", _published
    yield workspace.report, "all of these", _report


def _source_of(workspace: Workspace) -> str:
    try:
        found = EmbeddingsManifest.find(workspace)
        return found.source.spec if found else str((request_of(workspace.embeddings) or {}).get("source", "SOURCE"))
    except MinerError:
        return "SOURCE"


def _embeddings(workspace: Workspace, path: Path) -> tuple[str, str]:
    made = EmbeddingsManifest.read(workspace)
    return f"{counted(made.count, 'image')}, {made.dim}-d, {made.encoder.name}", ""


def _embeddings_and_source(workspace: Workspace, path: Path) -> tuple[str, str]:
    content, note = _embeddings(workspace, path)
    made = EmbeddingsManifest.read(workspace)
    where = local_path(made.source.spec)
    if made.source.without_images or made.request.source_fingerprint is None or not (where and where.startswith("/")):
        return content, note
    try:
        entries = made.source.open().entries[: made.asked.get("limit")]
    except MinerError:
        return content, "the images are gone or were moved"
    same = source_fingerprint(entries) == made.request.source_fingerprint
    return content, "" if same else f"the source has other images now ({len(entries):,})"


def _of_other_embeddings(made: Record, workspace: Workspace) -> str:
    embeddings = EmbeddingsManifest.find(workspace)
    same = embeddings is not None and made.get("embeddings") == embeddings.identity
    return "" if same else "belongs to other embeddings"


def _calibration(workspace: Workspace, path: Path) -> tuple[str, str]:
    made = CalibrationRecord.read(workspace)
    return f"duplicates begin at {made.band.high:g}", _of_other_embeddings(made.asked, workspace)


def _pairs(workspace: Workspace, path: Path) -> tuple[str, str]:
    made = PairsManifest.read(workspace)
    content = f"{counted(made.pairs, 'pair')} of {counted(made.images_in_pairs, 'image')}, rule {made.request.rule}"
    return content, _of_other_embeddings(made.asked, workspace)


def _against(workspace: Workspace, path: Path) -> tuple[str, str]:
    made = AgainstManifest.read(path)
    return f"{counted(made.pairs, 'pair')} with {made.there.name}", _of_other_embeddings(made.asked, workspace)


def _review(workspace: Workspace, path: Path) -> tuple[str, str]:
    decisions = path / "decisions.jsonl"
    content = counted(len(read_decisions(decisions)) if decisions.exists() else 0, "decision")
    return content, read_review(workspace, PairsManifest.find(workspace))[1]


def _shards(workspace: Workspace, path: Path) -> tuple[str, str]:
    made, pairs = ShardsManifest.read(workspace), PairsManifest.find(workspace)
    content = f"{counted(made.images, 'image')}, {counted(made.pairs, 'pair')}"
    other = made.request.pairs and pairs and not made.was_made_of(pairs)
    return content, _of_other_embeddings(made.asked, workspace) or ("holds other pairs than pairs/" if other else "")


def _run(workspace: Workspace, path: Path) -> tuple[str, str]:
    made, embeddings = RunManifest.read(path), EmbeddingsManifest.find(workspace)
    judged = sorted(file.stem for file in (path / "eval").glob("*.json") if file.stem.split("-")[0] in _EVALUATIONS)
    content = f"{made.method}, {counted(made.steps, 'step')}, {counted(made.pairs, 'pair')}"
    content += f"; evaluated: {', '.join(judged)}" if judged else ""
    # A run with --source has its own images, and no pairs.
    elsewhere = embeddings is None or (not made.pairs and made.record.get("source") != embeddings.source.spec)
    own = elsewhere or made.request.inputs in possible_inputs(workspace)
    return content, "" if own else "was trained on other images or pairs"


def _refined(workspace: Workspace, path: Path) -> tuple[str, str]:
    made = RefinedManifest.read(workspace)
    return f"{counted(made.count, 'image')}, {made.dim}-d", _of_other_embeddings(made.asked, workspace)


def _graph(workspace: Workspace, path: Path) -> tuple[str, str]:
    made = GraphManifest.read(workspace)
    return f"{counted(len(made.rows), 'arm')}", _of_other_embeddings(made.asked, workspace)


def _published(workspace: Workspace, path: Path) -> tuple[str, str]:
    made, pairs = PublishedManifest.read(workspace), PairsManifest.find(workspace)
    other = _of_other_embeddings(made.asked, workspace) or (
        "" if pairs and made.asked.get("pairs") == fingerprint(pairs.record) else "holds other pairs than pairs/"
    )
    return counted(sum(config.rows for config in made.configs.values()), "row"), other


def _report(workspace: Workspace, path: Path) -> tuple[str, str]:
    shown = (request_of(path) or {}).get("inputs")
    shown = shown if isinstance(shown, dict) else {}
    embeddings = EmbeddingsManifest.find(workspace)
    now = {
        "embeddings": embeddings,
        "pairs": PairsManifest.find(workspace),
        "calibration": CalibrationRecord.find(workspace, of=embeddings),
        "shards": ShardsManifest.find(workspace, of=embeddings),
    }
    other = [name for name, made in now.items() if shown.get(name) != fingerprint(made and made.record)]
    other += [f"run {run.name}" for run in workspace.runs() if _changed(run, shown.get("runs", {}).get(run.name, {}))]
    judged = embeddings and encoder_evaluations(workspace.root, embeddings)
    review = read_review(workspace, PairsManifest.find(workspace))
    other += ["review"] if any(review) and shown.get("review") != review_identity(*review) else []
    other += ["accuracy of the encoder"] if judged and shown.get("encoder") != fingerprint(judged) else []
    return "index.html", f"shows another state of: {', '.join(other)}" if other else ""


def _changed(run: Path, shown: Record) -> bool:
    """Whether a finished run, or its accuracies, are not those of the page."""
    if (made := RunManifest.find(run)) is None:
        return False
    now = {"record": fingerprint(made.record), "evaluations": fingerprint(frozen_evaluations(run))}
    return not now.items() <= shown.items()
