"""Which command takes a workspace further."""

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.overview.parts import Part
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace, workspace_flag


class NextStep(NamedTuple):
    """A command, and what it is good for."""

    command: str
    reason: str

    def __str__(self) -> str:
        return f"{self.command}  ({self.reason})"


def next_step(workspace: Workspace, parts: Sequence[Part], placed: bool = True) -> NextStep:
    """The command that makes the first part which is missing or does not fit.

    Args:
        parts: as `workspace_parts` finds them.
        placed: whether the command names the workspace.
    """
    flag, by_name = workspace_flag(workspace) if placed else "", {part.name: part for part in parts}

    def step(words: str, reason: str) -> NextStep:
        return NextStep(f"miner {words}{flag}", reason)

    def misses(name: str) -> bool:
        return name not in by_name or by_name[name].state != "fresh"

    def forced(name: str) -> str:
        return " --force" if name in by_name and by_name[name].state != "unfinished" else ""

    embeddings = by_name.get("embeddings")
    if embeddings is None or embeddings.state == "damaged":
        return step("start SOURCE", "SOURCE is a folder of images")
    if embeddings.state != "fresh":
        return step(f"embed {shlex.quote(embeddings.made_from)}", embeddings.note)
    if misses("pairs"):
        return step(f"pairs{forced('pairs')}", "pairs by the recommended rule")
    pairs, made = PairsManifest.read(workspace), EmbeddingsManifest.read(workspace)
    if not pairs.pairs:
        return step("calibrate", "compares the rules, as there is no pair")
    report = by_name.get("report")
    if report is None or "pairs" in report.note:
        return step("report --open", "look at the pairs")
    if pairs.labels is None and "review" not in by_name and not made.source.without_images:
        return step("review --open", f"100 answers tell how many pairs are right; or go on with: miner export{flag}")
    if misses("shards"):
        return step(f"export{forced('shards')}", "a training data set: images and pairs, with checksums")
    runs = [part for part in parts if part.name.startswith("runs/")]
    if not runs or runs[-1].state == "unfinished":
        return step("train", "an encoder on these images and pairs")
    fresh = [run for run in runs if run.state == "fresh" and "evaluated" not in run.content]
    if fresh and pairs.labels is not None:
        return step(f"eval knn {fresh[0].path.name}", "what the run has learned")
    if report.state != "fresh":
        return step("report --open", "the page, with everything since")
    return step("publish --to FOLDER", "a data set with a card, which others can load")
