"""Running commands and Python of the pages on small workspaces, with flags that make them quick."""

import io
import shutil
from collections.abc import Iterable
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import IterableDataset

from miner.artifacts.workspace import Workspace
from miner.commands.app import app
from miner.review.pair_set import read_pair_set
from miner.source import open_source
from tests.docs.blocks import ROOT
from tests.review.decisions import decision

# VICReg diverges on batches of 8 with its usual learning rate.
SMALL_RUN = [
    *(
        "--batch-size",
        "8",
        "--image-size",
        "32",
        "--stem",
        "imagenet",
        "--dim",
        "8",
        "--device",
        "cpu",
        "--lr",
        "0.005",
    ),
]

# The commands that are run, if they have no other flags than these; and the flags that are added.
RUN = {
    "start": (set(), []),
    "status": (set(), []),
    "clean": (set(), []),
    "embed": ({"--vectors", "--keys", "-w"}, ["--force"]),
    "calibrate": (set(), ["--force"]),
    "pairs": (
        {
            "--auto",
            "--min",
            "--max",
            "--neighbors",
            "--rule",
            "--shared",
            "--top-k",
            "--engine",
            "--recall",
            "-w",
            "--table",
        },
        ["--force"],
    ),
    "review": ({"--summary"}, ["--summary"]),
    "export": ({"--exclude"}, ["--force"]),
    "verify": (set(), []),
    "publish": ({"--license", "--image-license", "--to"}, []),
    "train": ({"--method", "--epochs"}, [*SMALL_RUN, "--epochs", "1"]),
    "eval knn": (set(), []),
    "refine": (set(), ["--dim", "8", "--epochs", "2", "--device", "cpu"]),
    "report": ({"-w"}, []),
}


def is_run(arguments: list[str]) -> bool:
    """Whether a command of miner is run, and not only checked."""
    name, given = _split(arguments)
    flags = {word for word in given if word.startswith("-")}
    return name in RUN and flags <= RUN[name][0] and not any("://" in word for word in given)


def run(arguments: list[str]) -> None:
    """Run a command of miner in this process and the current folder."""
    name, _ = _split(arguments)
    app([*arguments, *RUN[name][1]], standalone_mode=False)


def _split(arguments: list[str]) -> tuple[str, list[str]]:
    length = 2 if arguments[0] == "eval" else 1
    return " ".join(arguments[:length]), arguments[length:]


def run_python(code: str, place: str) -> None:
    """Run a block of Python in the current folder, and read the first sample of each stream that it opens."""
    names: dict[str, Any] = {}
    exec(compile(code, place, "exec"), names)
    for value in names.values():
        if isinstance(value, IterableDataset):
            next(iter(value))


def make_folder(folder: Path, extensions: Iterable[str], commands: Iterable[str]) -> None:
    """A folder as the pages assume: `photos`, the default workspace, links to what is in it, and to files of the project.

    Args:
        folder: to make.
        extensions: file endings of the photographs.
        commands: of miner, which make the workspace.
    """
    for name in ("pipelines", "tests"):
        (folder / name).symlink_to(ROOT / name)
    write_photos(folder / "photos", 40, list(extensions))
    _write_vectors(folder)
    with chdir(folder):
        for line in commands:
            run(line.split())
    for name in ("shards", "runs"):
        (folder / name).symlink_to(Path("datasets_out/default") / name)


def write_photos(folder: Path, count: int, extensions: list[str]) -> None:
    """Photographs of the built-in sample in two class folders."""
    sample = open_source("sample")
    chosen = [entry for entry in sample.entries if (entry.label or 0) < 2][:count]
    for number, entry in enumerate(chosen):
        path = folder / f"class{entry.label}" / f"{number:03d}.{extensions[number % len(extensions)]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(io.BytesIO(sample.read(entry))).convert("RGB").resize((40, 40)).save(path)


def _write_vectors(folder: Path) -> None:
    """Vectors of the photographs as somebody else made them, and their names."""
    names = [path.relative_to(folder / "photos") for path in sorted((folder / "photos").rglob("*.*"))]
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 16))
    vectors = centres[np.arange(len(names)) // 10 % 4] + 0.5 * rng.normal(size=(len(names), 16))
    np.save(folder / "clip.npy", vectors.astype(np.float32))
    (folder / "names.txt").write_text("\n".join(map(str, names)))
    rows = [f"{one},{other},0.5" for one, other in zip(names[::2], names[1::2], strict=True)]
    (folder / "others.csv").write_text("\n".join(["image1,image2,score", *rows, rows[0]]))


def judge_a_pair(workspace: Workspace) -> None:
    """A decision about the first pair of a workspace."""
    key_a, key_b = read_pair_set(workspace, 1).keys(0)
    workspace.review.mkdir()
    line = decision().model_copy(update={"key_a": key_a, "key_b": key_b}).line()
    (workspace.review / "decisions.jsonl").write_text(line)


def copy_folder(folder: Path, target: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(folder, target, symlinks=True))
