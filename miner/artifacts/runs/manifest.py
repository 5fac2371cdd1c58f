"""The manifest of a training run, and the names of its files."""

import re
from pathlib import Path
from typing import ClassVar, Self

from miner.artifacts.artifact import Artifact, RecordPart
from miner.engine import Record, read_json
from miner.errors import MinerError

BACKBONE_FILE = "backbone.safetensors"
BEST_FILE = "backbone-best.safetensors"
DESCRIPTION_FILE = "config.json"
PROJECTOR_FILE = "projector.safetensors"
TEACHER_FILE = "teacher.safetensors"

# A GraphNNCLR run keeps a graph and a bank of features of its teacher and of its student.
STREAMS = ("teacher", "student")
NODES_FILE = "graph/nodes.parquet"
GRAPH_FILES = (
    NODES_FILE,
    *(f"graph/{name}" for stream in STREAMS for name in (f"graph-{stream}.parquet", f"bank-{stream}.npy")),
)

# What a run and its evaluations write, and what goes when the run is finished, as patterns of `StageFolder`.
RESULTS = (
    *("config.yaml", "metrics.jsonl", "events.out.*", "state.json", "eval/knn*.json", "eval/linear*.json"),
    *("eval/finetune*.json", "eval/transfer*.json", "eval/finetune*.parts/*.json", "eval/finetune*.parts/*.pt"),
    *("eval/detect*.json", "eval/detect*.parts/*.json", "eval/detect*.parts/*.pt"),
    *(BACKBONE_FILE, BEST_FILE, DESCRIPTION_FILE, PROJECTOR_FILE, TEACHER_FILE, *GRAPH_FILES),
)
_COLLAPSED_SPREAD = 0.1
_FROZEN = re.compile("(knn|linear)(-projector|-augmented)?(-best|-teacher)?")
SCRATCH = ("checkpoints/last.pt", "checkpoints/last.previous.pt")


class RunRequest(RecordPart):
    """What `miner train` was asked for; `inputs` is `Inputs.fingerprint` of the images and pairs."""

    inputs: str


class OnlineKnn(RecordPart):
    """Accuracy of nearest neighbours on test images, in percent, measured while the run went on."""

    k: int
    temperature: float
    test: str
    n_test: int
    last: float
    best: float
    best_epoch: int


class RunManifest(Artifact):
    """What is in `runs/NAME/`.

    Attributes:
        images: of the workspace; pair_images: those in pairs.
        pair_label_precision: share of the pairs whose labels agree; None where labels are unknown.
        final_loss: mean over the last epoch, as are the other values.
        final_accuracy: the final accuracy of the contrastive task, 0 to 1.
        final_spread: the final spread of the features; 1 is healthy, 0 is collapse.
    """

    command: ClassVar = "miner train"

    request: RunRequest
    method: str
    pairs_arm: str
    images: int
    pair_images: int | None = None
    pairs: int
    epochs: int
    steps: int
    pair_label_precision: float | None
    uses_labels: bool = False
    final_loss: float
    final_accuracy: float | None = None
    final_spread: float | None = None
    final_rankme: float | None = None
    online_knn: OnlineKnn | None = None

    @property
    def images_shown(self) -> int:
        """The images that the run trained on: all of them, or those in pairs in the arms of pairs alone."""
        alone = self.pairs_arm == "pairs-only" or self.pairs_arm.startswith("matched-")
        return self.pair_images if alone and self.pair_images is not None else self.images

    @property
    def verdict(self) -> str:
        """Whether the features collapsed; more is not known before an evaluation."""
        return collapse_verdict(self.final_spread, "whether the run is better than random weights", "miner eval knn")

    @classmethod
    def find(cls, run: Path) -> Self | None:
        """The manifest of the run in a folder; None when the run has not finished.

        Raises:
            MinerError: it is damaged.
        """
        return cls.at(run / "manifest.json")

    @classmethod
    def read(cls, run: Path) -> Self:
        """The manifest of the finished run in a folder.

        Raises:
            MinerError: the run has not finished, or its manifest is damaged.
        """
        if (found := cls.find(run)) is None:
            raise MinerError(
                f"The run {run.name} has not finished. Run the same `miner train` command again; it continues."
            )
        return found


def collapse_verdict(spread: float | None, unknown: str, command: str) -> str:
    """Whether learned features collapsed, and what is not known before a command has evaluated them.

    Args:
        spread: of the features; 1 is healthy, 0 is collapse; None where it was not measured.
    """
    if spread is not None and spread < _COLLAPSED_SPREAD:
        return (
            "the features have collapsed: all images have nearly the same features. Train again with --force and a lower --lr, a "
            "larger --batch-size, or another method"
        )
    seen = "" if spread is None else "no sign of collapse; "
    return f"{seen}{unknown} is not known before `{command}`, which needs labels"


def frozen_evaluations(run: Path) -> dict[str, Record]:
    """The records of `eval knn` and `eval linear` in a folder: of its run, or of the embeddings of a workspace; by name.

    Raises:
        MinerError: one of them is damaged.
    """
    files = [path for path in sorted((run / "eval").glob("*.json")) if _FROZEN.fullmatch(path.stem)]
    return {path.stem: read_json(path) or {} for path in files}


def encoder_evaluations(workspace: Path, embeddings: Artifact) -> dict[str, Record]:
    """The records of `eval knn` and `eval linear` of these embeddings themselves, by name."""
    found = frozen_evaluations(workspace)
    return {
        name: made for name, made in found.items() if made.get("request", {}).get("embeddings") == embeddings.identity
    }
