"""Which command takes a workspace further."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
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
    known = _Known({part.name: part for part in parts}, workspace_flag(workspace) if placed else "")
    if step := known.to_pairs():
        return step
    pairs, made = PairsManifest.read(workspace), EmbeddingsManifest.read(workspace)
    if not pairs.pairs:
        return known.step("calibrate", "compares the rules, as there is no pair")
    report = known.parts.get("report")
    if report is None or "pairs" in report.note:
        return known.step("report --open", "look at the pairs")
    use = known.to_use(labelled=pairs.labels is not None)
    if pairs.labels is None and "review" not in known.parts and not made.source.without_images:
        return known.step("review --open", f"100 answers tell how many pairs are right; or go on with: {use.command}")
    return use


@dataclass(frozen=True)
class _Known:
    """The parts by name, and the flag that commands need."""

    parts: dict[str, Part]
    flag: str

    def step(self, words: str, reason: str) -> NextStep:
        return NextStep(f"miner {words}{self.flag}", reason)

    def misses(self, name: str) -> bool:
        return name not in self.parts or self.parts[name].state != "fresh"

    def forced(self, name: str) -> str:
        return " --force" if name in self.parts and self.parts[name].state != "unfinished" else ""

    def to_pairs(self) -> NextStep | None:
        """The step before there are pairs of these images; None if there are."""
        embeddings = self.parts.get("embeddings")
        if embeddings is None or embeddings.state == "damaged":
            return self.step("start SOURCE", "SOURCE is a folder of images")
        if embeddings.state != "fresh":
            return self.step(f"embed {shlex.quote(embeddings.made_from)}", embeddings.note)
        if self.misses("pairs"):
            begun = self.parts["pairs"].note if "pairs" in self.parts else ""
            return self.step(f"pairs{self.forced('pairs')}", begun or "pairs by the recommended rule")
        return None

    def to_use(self, labelled: bool) -> NextStep:
        """The step that makes use of the pairs."""
        if self.misses("shards"):
            return self.step(f"export{self.forced('shards')}", "a training data set: images and pairs, with checksums")
        runs = [part for name, part in self.parts.items() if name.startswith("runs/") and name.count("/") == 1]
        if not runs or runs[-1].state == "unfinished":
            return self.step("train", "an encoder on these images and pairs")
        unjudged = [run for run in runs if run.state == "fresh" and "evaluated" not in run.content]
        if unjudged and labelled:
            return self.step(f"eval knn {unjudged[0].path.name}", "what the run has learned")
        if self.misses("report"):
            return self.step("report --open", "the page, with everything since")
        if self.misses("publish"):
            return self.step("publish --to FOLDER", "a data set with a card, which others can load")
        return self.step("status", "everything is fresh")
