"""Pairs written in both orders, through every stage that reads them."""

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.runs.inputs import check_shards_are_current, find_inputs
from miner.artifacts.runs.training_data import open_images, pair_rows
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.report.options import ReportOptions
from miner.report.run import report
from miner.review.pair_set import read_pair_set
from miner.verify.run import verify
from tests.export.folders import samples

BAND = {"min": 0.7, "max": 0.95}


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory) -> tuple[Workspace, Workspace]:
    """The same images mined in one order and in both."""
    root = tmp_path_factory.mktemp("orders")
    one, both = Workspace(root / "one"), Workspace(root / "both")
    for workspace in (one, both):
        embed(EmbedOptions(source="sample", limit=60), workspace)
    pairs(PairsOptions(**BAND), one)
    pairs(PairsOptions(**BAND, both_orders=True), both)
    return one, both


def exported(workspace: Workspace) -> list[tuple[str, str]]:
    records = [json.loads(sample["json"]) for sample in samples(workspace.shards, "pairs")]
    return sorted((record["key_a"], record["key_b"]) for record in records)


def test_export_and_verify(workspaces) -> None:
    one, both = workspaces
    for workspace in workspaces:
        export(ExportOptions(), workspace, force=True)
        verify(str(workspace.root))
    assert exported(both) == sorted([*exported(one), *((b, a) for a, b in exported(one))])
    assert len(exported(one)) > 50


def test_export_counts_a_pair_once_under_a_degree(workspaces) -> None:
    one, both = workspaces
    for workspace in workspaces:
        export(ExportOptions(max_degree=2), workspace, force=True)
    assert exported(both) == sorted([*exported(one), *((b, a) for a, b in exported(one))])
    assert max(Counter(key for pair in exported(one) for key in pair).values()) == 2


def test_train_takes_both_as_items(workspaces) -> None:
    _, both = workspaces
    export(ExportOptions(), both, force=True)
    inputs = find_inputs(both, with_pairs=True)
    check_shards_are_current(inputs, both)
    _, entries = open_images(inputs)
    rows = pair_rows(inputs, [entry.key for entry in entries])
    assert len(rows) == 2 * PairsManifest.read(both).pairs
    listed = {tuple(pair) for pair in rows.tolist()}
    assert {(b, a) for a, b in listed} == listed
    assert not bool(torch.any(rows[:, 0] == rows[:, 1]))


def test_review_shows_a_pair_once(workspaces) -> None:
    first, second = (read_pair_set(workspace, 4) for workspace in workspaces)
    assert len(first) == len(second) > 50
    assert (first.a == second.a).all() and (first.b == second.b).all()
    assert first.sizes() == second.sizes()
    table = pq.read_table(workspaces[1].pairs / "pairs.parquet")
    turned = [(table["key_b"][row].as_py(), table["key_a"][row].as_py()) for row in range(len(table))]
    assert None not in second.find(turned)


def test_report_shows_a_pair_once(workspaces) -> None:
    pages = []
    for workspace in workspaces:
        report(ReportOptions(), workspace, force=True)
        page = Path(workspace.report / "index.html").read_text()
        pages.append(page.partition('<h2 id="gallery"')[2].partition('<h2 id="settings"')[0])
    assert pages[0] == pages[1]
