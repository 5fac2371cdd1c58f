"""`miner pairs` as a person meets it when the band or the embeddings are not what they should be."""

import re
import signal
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from miner.artifacts.embeddings.store import vectors_path
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.cli import main

Answer = tuple[int, str, str]


@pytest.fixture
def miner(monkeypatch, capsys) -> Iterator[Callable[..., Answer]]:
    """Runs the command line in this process: exit code, standard output, standard error."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["miner", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return (code, *capsys.readouterr())

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def paragraph(answer: Answer) -> str:
    """The error of a command that failed: one line, without a traceback, and with something to do."""
    code, output, errors = answer
    assert code == 1 and output == ""
    lines = [line for line in errors.splitlines() if not line.startswith("pairs: 0%") and line.strip()]
    assert len(lines) == 1, errors
    assert lines[0].startswith("Error: ") and "fault of miner" not in lines[0]
    return lines[0]


def vectors(count: int = 90, dim: int = 12) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, dim)).astype(np.float32)


def change_block(workspace: Workspace, block: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path = vectors_path(workspace.embeddings, block)
    np.save(path, change(np.load(path)))


def test_empty_band_is_a_warning_with_a_better_band(miner, make_embeddings) -> None:
    workspace = make_embeddings(vectors(), blocks=3)
    code, output, _ = miner("pairs", "--min", "0.99", "--max", "0.999", "-w", str(workspace.root))
    assert code == 0
    assert "is empty" in output
    proposal = re.search(r"miner (pairs --min \S+ --max \S+ -w \S+) \(", output)
    assert proposal is not None
    code, output, _ = miner(*proposal[1].split())
    assert code == 0 and "Warning" not in output
    assert PairsManifest.read(workspace).pairs > 0


def test_flooded_band_is_refused_and_names_its_images(miner, make_embeddings) -> None:
    crowded = vectors(200)
    crowded[50:110] = crowded[50]
    workspace = make_embeddings(crowded, blocks=2)
    arguments = ["pairs", "--min", "0.95", "--max", "1", "-w", str(workspace.root)]
    message = paragraph(miner(*arguments, "--max-pairs", "1000"))
    assert "More than 1,000 pairs" in message and "Nothing was cut off" in message
    assert all(option in message for option in ("--min", "--top-k", "--max-pairs", "--sample", "copies of one image"))
    named = re.findall(r"k(\d{5}) \((\d+)\)", message)
    assert len(named) == 5
    assert all(50 <= int(row) < 110 and int(partners) == 59 for row, partners in named)
    assert not workspace.pairs.exists()
    code, _, _ = miner(*arguments, "--max-pairs", "1770", "--top-k", "2")
    assert code == 0
    assert PairsManifest.read(workspace).degree.max == 2


@pytest.mark.parametrize(("value", "rows"), [(np.nan, 1), (np.inf, 1), (0.0, 12)])
def test_vectors_without_a_direction_are_refused_by_row(miner, make_embeddings, value, rows) -> None:
    broken = vectors()
    broken[71, :rows] = value
    message = paragraph(miner("pairs", "--rule", "band", "-w", str(make_embeddings(broken, blocks=3).root)))
    assert "vectors that are zero or not finite" in message and "row 71" in message and "--force" in message


def test_part_files_of_two_dtypes_are_refused(miner, make_embeddings) -> None:
    workspace = make_embeddings(vectors(), blocks=3)
    change_block(workspace, 1, lambda block: block.astype(np.float16))
    message = paragraph(miner("pairs", "--rule", "band", "-w", str(workspace.root)))
    assert "img_emb_00001.npy holds float16" in message and "float32" in message and "--force" in message


def test_part_files_of_two_dimensions_are_refused(miner, make_embeddings) -> None:
    workspace = make_embeddings(vectors(), blocks=3)
    change_block(workspace, 2, lambda block: block[:, :-1].copy())
    message = paragraph(miner("pairs", "--rule", "band", "-w", str(workspace.root)))
    assert "img_emb_00002.npy" in message and "(30, 11)" in message and "(n, 12)" in message


def test_missing_part_file_is_named(miner, make_embeddings) -> None:
    workspace = make_embeddings(vectors(), blocks=3)
    vectors_path(workspace.embeddings, 1).unlink()
    message = paragraph(miner("pairs", "--rule", "band", "-w", str(workspace.root)))
    assert "img_emb_00001.npy is missing" in message and "--force" in message


def test_part_file_of_another_length_is_refused(miner, make_embeddings) -> None:
    workspace = make_embeddings(vectors(), blocks=3)
    change_block(workspace, 0, lambda block: block[:-2])
    message = paragraph(miner("pairs", "--rule", "band", "-w", str(workspace.root)))
    assert "88 vectors" in message and "90 metadata rows" in message


def test_graph_and_groups_are_summed_up_in_a_line_each(miner, make_embeddings) -> None:
    workspace = make_embeddings(vectors(), blocks=3, labels=(np.arange(90) % 3).tolist())
    arguments = ["--min", "0.6", "--max", "0.9", "--neighbors", "4", "--groups", "-w", str(workspace.root)]
    code, output, _ = miner("pairs", *arguments)
    assert code == 0
    made = PairsManifest.read(workspace)
    hub, groups = made.neighbours["hubs"][0], made.groups
    assert f"{hub['key']} ({hub['in_degree']})" in output and f"skewness {made.neighbours['skewness']:.2f}" in output
    assert f"{groups['complete_link']['number']} groups" in output
    assert f"{groups['components']['number']} components" in output
