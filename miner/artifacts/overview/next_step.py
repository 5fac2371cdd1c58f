"""Which command takes a workspace further."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.overview.parts import Part
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.runs.manifest import RunManifest
from miner.artifacts.stage_folder import request_of
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
    if step := known.to_pairs(workspace):
        return step
    pairs, made = PairsManifest.read(workspace), EmbeddingsManifest.read(workspace)
    if not pairs.pairs:
        return known.step("calibrate", "compares the rules, as there is no pair")
    report = known.parts.get("report")
    if report is None or "pairs" in report.note:
        return known.step("report --open", "look at the pairs")
    if made.source.without_images:
        vectors = f"embed SOURCE --vectors {shlex.quote(made.source.spec)} --force"
        return known.step(vectors, "export, train and review need the images of the vectors")
    use = known.to_use(labelled=pairs.labels is not None, publishable=not _are_refined(made))
    if pairs.labels is None and "review" not in known.parts:
        return known.step("review --open", f"100 answers tell how many pairs are right; or go on with: {use.command}")
    return use


def _are_refined(made: EmbeddingsManifest) -> bool:
    return made.request.encoder is None and made.request.vectors_files is None


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

    @property
    def runs(self) -> list[Part]:
        """The training runs, by name."""
        return [part for name, part in self.parts.items() if name.startswith("runs/") and name.count("/") == 1]

    def to_pairs(self, workspace: Workspace) -> NextStep | None:
        """The step before there are pairs of these images; None if there are."""
        embeddings = self.parts.get("embeddings")
        if embeddings is None and self.runs:
            return self.of_runs(labelled=True) or self.step(
                f"embed SOURCE --encoder run:{shlex.quote(str(self.runs[-1].path))}", "the run as an encoder"
            )
        if embeddings is None or embeddings.state == "damaged":
            return self.step("start SOURCE", "SOURCE is a folder of images")
        if embeddings.state != "fresh":
            encoder = (request_of(workspace.embeddings) or {}).get("encoder")
            named = f" --encoder {shlex.quote(encoder)}" if isinstance(encoder, str) else ""
            return self.step(f"embed {shlex.quote(embeddings.made_from)}{named}", embeddings.note)
        if self.misses("pairs"):
            begun = self.parts["pairs"].note if "pairs" in self.parts else ""
            words, rule = f"pairs{self.forced('pairs')}", "the recommended rule"
            if workspace.explored.exists():
                words += f" --config {shlex.quote(str(workspace.explored))}"
                rule = "the choice of `miner explore`"
            elif _are_refined(EmbeddingsManifest.read(workspace)):  # which cannot be calibrated
                words += " --rule shared --max 0.99"
            return self.step(words, begun or f"pairs by {rule}")
        return None

    def of_runs(self, labelled: bool) -> NextStep | None:
        """The step that evaluates a run, or continues one; None if there is none to evaluate or to continue."""
        for run in self.runs if labelled else ():
            if run.state == "fresh" and "evaluated" not in run.content:
                source = None if "embeddings" in self.parts else RunManifest.read(run.path).record.get("source")
                gallery = f" --gallery {shlex.quote(str(source))}" if source else ""
                return self.step(f"eval knn {run.path.name}{gallery}", "what the run has learned, by labels")
        begun = [run.path.name for run in self.runs if run.state == "unfinished"]
        return self.step(f"train --name {begun[0]}", "with its other options too; it continues") if begun else None

    def to_use(self, labelled: bool, publishable: bool) -> NextStep:
        """The step that makes use of the pairs."""
        if self.misses("shards"):
            return self.step(f"export{self.forced('shards')}", "a training data set: images and pairs, with checksums")
        if not self.runs:
            return self.step("train", "an encoder on these images and pairs")
        if step := self.of_runs(labelled):
            return step
        if self.misses("report"):
            return self.step("report --open", "the page, with everything since")
        if publishable and self.misses("publish"):
            terms = "publish --license LICENCE --image-license LICENCE"
            return self.step(terms, "a data set with a card, which others can load")
        return self.step("status", "everything is fresh")
