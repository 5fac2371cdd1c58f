"""The scenes of a play: every stage on a workspace of a few images, one after another, each with what it finds."""

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from miner.artifacts.decisions import Decision
from miner.artifacts.workspace import Workspace
from miner.commands.run import run_recipe
from miner.recipe import RunOptions
from miner.run_stages import run_stage
from miner.source import open_source
from miner.stages import STAGES

BAND = {"min": -0.5, "max": 0.9999, "most_similar": 15, "device": "cpu"}
TRAINING = {
    **{"epochs": 2, "batch_size": 8, "image_size": 16, "backbone": "vit_tiny", "patch_size": 8, "dim": 8},
    **{"device": "cpu", "checkpoint_steps": 3},
}
NETWORK = {"neighbors": 3, "dim": 8, "epochs": 2, "device": "cpu"}
LABELLED = {"test": "{root}/test", "device": "cpu"}
LICENCES = {"license": "cc-by-4.0", "image_license": "mit", "date": "2026-01-02"}
RECIPE = """
workspace: {root}/recipe
stages:
  - embed: {source: {root}/photos, device: cpu}
  - pairs: {min: -0.5, max: 0.9999, most_similar: 15, device: cpu}
  - export: {}
"""
STUDY = """
folder: {root}/study
workspaces:
  w:
    - embed: {source: {root}/photos, device: cpu}
    - pairs: {min: -0.5, max: 0.9999, most_similar: 15, device: cpu}
train: {method: simclr, hidden_dim: 8, TRAINING}
eval knn: {test: {root}/test, device: cpu}
arms:
  own: {workspace: w, train: {pairs_arm: none}}
  pairs: {workspace: w}
"""


@dataclass(frozen=True)
class Scene:
    """One command.

    Attributes:
        stage: its name, or "run".
        prepare: what changes in the folder of the play before.
    """

    stage: str
    options: dict[str, Any]
    force: bool = False
    prepare: Callable[[Path], None] | None = None

    def play(self, root: Path, force: bool = False) -> None:
        """Run the command; with `force`, or if the scene says so, it replaces what is there."""
        given = {
            name: value.replace("{root}", str(root)) if isinstance(value, str) else value
            for name, value in self.options.items()
        }
        if self.stage == "run":
            run_recipe(RunOptions.parse({**given, "force": force}), quiet=True)
            return
        workspace = Workspace(root / given.pop("workspace", "w"))
        run_stage(self.stage, STAGES[self.stage].options.parse(given), workspace, self.force or force)


def write_photos(root: Path) -> None:
    """Photographs of three classes: `photos`, `more` of them, `test`; and the recipe and the study of the play."""
    sample = open_source("sample")
    chosen = [entry for entry in sample.entries if entry.label in (0, 1, 5)]
    for folder, some in (("photos", chosen[:21]), ("more", chosen[21:27]), ("test", chosen[27:39])):
        for number, entry in enumerate(some):
            path = root / folder / f"class{entry.label}" / f"{folder}{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.open(io.BytesIO(sample.read(entry))).convert("RGB").resize((20, 20)).save(path)
    (root / "photos" / "class0" / "broken.png").write_bytes(b"no image")
    flow = ", ".join(f"{name}: {value}" for name, value in TRAINING.items())
    for name, text in (("recipe", RECIPE), ("study", STUDY)):
        (root / f"{name}.yaml").write_text(text.replace("{root}", str(root)).replace("TRAINING", flow))


def _add_photos(root: Path) -> None:
    shutil.copytree(root / "more", root / "photos", dirs_exist_ok=True)


def _judge_pairs(root: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(root / "w" / "pairs" / "pairs.parquet").slice(0, 6).to_pylist()
    lines = [
        Decision(
            **{
                "key_a": row["key_a"],
                "key_b": row["key_b"],
                "decision": "same",
                "reviewer": "Ada",
                "slice": [-0.5, 1.0],
            },
            **{"time": "2026-01-01T00:00:00Z", "similarity": row["similarity"]},
        ).model_dump_json()
        for row in table
    ]
    (root / "w" / "review").mkdir()
    (root / "w" / "review" / "decisions.jsonl").write_text("\n".join(lines) + "\n")


_EMBED = {"source": "{root}/photos", "block_size": 8, "device": "cpu"}
SCENES = {
    "embed": Scene("embed", _EMBED),
    "calibrate": Scene("calibrate", {"budget": 0.5, "device": "cpu"}),
    "pairs": Scene("pairs", {**BAND, "neighbors": 3, "groups": True}),
    "review": Scene("review", {"summary": True}, prepare=_judge_pairs),
    "export": Scene("export", {"shard_count": 8}),
    "export elsewhere": Scene("export", {"to": "{root}/out", "references": True}),
    "publish": Scene("publish", LICENCES),
    "train": Scene("train", {**TRAINING, "knn_epochs": 1, "name": "moco"}),
    "train graphnnclr": Scene(
        "train", {**TRAINING, "method": "graphnnclr", "hidden_dim": 8, "graph_edges": 3, "name": "g"}
    ),
    "eval knn": Scene("eval knn", {**LABELLED, "run": "moco"}),
    "eval linear": Scene("eval linear", {**LABELLED, "run": "moco"}),
    "refine": Scene("refine", NETWORK),
    "eval knn of refined": Scene("eval knn", {**LABELLED, "refined": True}),
    "eval graph": Scene("eval graph", {**NETWORK, "test": "{root}/test", "seeds": 1}),
    "report": Scene("report", {}),
    "recipe": Scene("run", {"recipe": "{root}/recipe.yaml"}),
    "study": Scene("run", {"recipe": "{root}/study.yaml"}),
    "embed grown": Scene("embed", _EMBED, prepare=_add_photos),
    "pairs appended": Scene("pairs", {**BAND, "neighbors": 3, "groups": True, "append": True}),
    "export again": Scene("export", {"shard_count": 30}, force=True),
    "publish again": Scene("publish", {**LICENCES, "title": "Other"}, force=True),
    "train again": Scene("train", {**TRAINING, "name": "moco", "seed": 1}, force=True),
    "refine again": Scene("refine", {**NETWORK, "dim": 4}, force=True),
    "pairs again": Scene("pairs", {"rule": "mutual", "neighbors": 3, "device": "cpu"}, force=True),
    "embed again": Scene("embed", {**_EMBED, "block_size": 30, "dtype": "float32"}, force=True),
}
# Every stage once, in `make test`.
SHORT = [
    *("embed", "calibrate", "pairs", "review", "export", "publish", "train", "eval knn", "refine", "report"),
    *("recipe", "embed grown", "pairs appended"),
]
# Where users keep a file of their own beside those of stages.
USERS_FOLDERS = (
    *(
        "w/embeddings",
        "w/embeddings/img_emb",
        "w/pairs",
        "w/pairs/parts",
        "w/shards",
        "w/shards/parts",
        "w/publish",
        "out",
    ),
    *(
        "w/runs/moco",
        "w/runs/moco/eval",
        "w/runs/moco/checkpoints",
        "w/refined/embeddings",
        "w/refined/modes",
        "w/graph",
    ),
    *("w/graph/parts", "w/report", "w/review", "study/results", "study/w/pairs", "recipe/shards"),
)
