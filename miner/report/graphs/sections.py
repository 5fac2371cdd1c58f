"""The variables of `graphs.html`: neighbour graphs of runs, maps, controls, and neighbourhoods."""

from collections.abc import Mapping
from typing import Any

from miner.artifacts.graph_table import CLASSIFIERS, GraphManifest, verdict_sentences
from miner.artifacts.workspace import Workspace
from miner.report.findings import Findings
from miner.report.galleries.album import Album
from miner.report.graphs.features import before_and_after
from miner.report.graphs.maps import make_maps
from miner.report.graphs.neighbourhoods import draw_images, neighbour_lists, neighbourhoods
from miner.report.graphs.panels import graph_panel
from miner.report.graphs.run_graphs import read_graphs
from miner.tables import interval_text


def graph_sections(workspace: Workspace, findings: Findings, album: Album) -> dict[str, Any]:
    """The variables of `graphs.html`; a variable is empty or None if the workspace has nothing for it.

    Raises:
        MinerError: a file of a graph or of features is missing or damaged.
    """
    labels = album.labels
    found = {run.name: read_graphs(workspace.run(run.name), run, album.metadata["key"]) for run in findings.runs}
    graphs = {name: graph for name, graph in found.items() if graph is not None}
    features = before_and_after(workspace, findings, graphs)
    embedded = {name: graph for name, graph in graphs.items() if graph.embedded()}
    mined = workspace.pairs if "knn_ids.npy" in findings.pairs.files else None
    rows = draw_images(len(labels), embedded)
    lists = neighbour_lists(rows, mined, features, embedded)
    return {
        "graphs": [
            graph_panel(run, graphs.get(run.name), labels)
            for run in findings.runs
            if run.name in graphs or any("purity" in line for line in run.metrics)
        ],
        "maps": make_maps(features, labels, album.classes) if features else None,
        "controls": _controls(findings.controls),
        "neighbourhoods": neighbourhoods(album, rows, lists) if lists else [],
    }


def _controls(made: GraphManifest | None) -> Mapping[str, Any] | None:
    """The table of `miner eval graph`, and its verdict in words."""
    if made is None:
        return None
    rows = [
        {"arm": row["arm"], "mode": row["mode"] or "", "cells": [interval_text(row[name], 2) for name in CLASSIFIERS]}
        for row in made.rows
    ]
    return {
        "rows": rows,
        "verdict": verdict_sentences({name: made.verdict[name] for name in CLASSIFIERS}),
        "n_train": made.n_train,
        "n_test": made.n_test,
    }
