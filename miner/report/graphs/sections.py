"""The variables of `graphs.html`: neighbour graphs of runs, maps, controls, and neighbourhoods."""

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Vectors
from miner.artifacts.manifests import CLASSIFIERS, GraphManifest, verdict_sentences
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.report.findings import Findings
from miner.report.galleries.album import Album
from miner.report.graphs.maps import make_maps
from miner.report.graphs.neighbourhoods import draw_images, neighbour_lists, neighbourhoods
from miner.report.graphs.run_graphs import RunGraphs, graph_panel, read_graphs
from miner.tables import interval_text


def graph_sections(workspace: Workspace, findings: Findings, album: Album) -> Record:
    """The variables of `graphs.html`; a variable is empty or None if the workspace has nothing for it.

    Raises:
        MinerError: a file of a graph or of features is missing or damaged.
    """
    labels = album.labels
    found = {run.name: read_graphs(workspace.run(run.name), run, album.metadata["key"]) for run in findings.runs}
    graphs = {name: graph for name, graph in found.items() if graph is not None}
    features = _before_and_after(workspace, findings, graphs)
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


def _before_and_after(workspace: Workspace, findings: Findings, graphs: dict[str, RunGraphs]) -> dict[str, Vectors]:
    """The features of all images before and after refinement, by name; empty if nothing was refined.

    `miner refine --run` refines the features of both streams of a run. The page shows those of its teacher.
    """
    if findings.refined is None:
        return {}
    after = {"After refinement": EmbeddingStore(workspace.refined).stored}
    run = findings.refined.request.run
    if run is not None:
        return {f"Before: teacher of run {run}": graphs[run].bank("teacher"), **after}
    return {"Before: embeddings": EmbeddingStore(workspace).stored, **after}


def _controls(made: GraphManifest | None) -> Record | None:
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
