"""What `miner refine` computes on every process: views of the images, the network, refined vectors as in `embeddings/`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import ERROR_SCHEMA, table_of_rows
from miner.artifacts.embeddings.store import EmbeddingStore, metadata_path, vectors_path
from miner.artifacts.npy import save_array
from miner.artifacts.parquet import count_rows, load_table, save_table
from miner.artifacts.runs.manifest import GRAPH_FILES, NODES_FILE, STREAMS, RunManifest
from miner.artifacts.workspace import Workspace
from miner.engine import Record, committed, write_bytes
from miner.errors import UsageError
from miner.learning.networks.weights import save_weights
from miner.learning.parallel.collectives import own_device, rank, wait_for_all
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.neighbours.graph import NeighbourGraph
from miner.refine.graph.graph import edge_weights, from_edges, from_neighbours
from miner.refine.network.fit import fit
from miner.refine.network.network import Nodes, encode, make_network, standardised
from miner.refine.network.resources import graph_device, images_per_step
from miner.refine.options import RefineStageOptions
from miner.text import counted

NETWORK_FILE = "network.safetensors"


def compute_refined(options: RefineStageOptions, workspace: Workspace, folder: Path) -> tuple[Record, list[Path]]:
    """Train on every process. Rank 0 writes the result to the folder, and returns its record and its files."""
    device = own_device(graph_device(options.device))
    store = EmbeddingStore(workspace)
    parts = folder / "parts"
    views = _views(options, workspace, store, parts)
    width, edges = views[0].features.shape[1], max(len(view.graph.sources) for view in views)
    batch_size = images_per_step(options, len(store), width, edges)
    network = make_network(options, width)
    checkpoint = parts / "last.pt"
    outcome = fit(network, views[0], views[-1], options, batch_size=batch_size, device=device, checkpoint=checkpoint)
    if rank() > 0:
        return {}, []
    encoded = [encode(network, view, batch_size=batch_size, device=device) for view in views]
    refined = np.concatenate(encoded, axis=1) / np.float32(len(encoded) ** 0.5)
    save_weights(folder / NETWORK_FILE, network)
    if options.run is not None:
        encoder = {"name": f"refined run {options.run}"}
    else:
        of = store.manifest
        encoder = {"name": f"refined {of.encoder.name}", "refined_from": of.record["encoder"]}
    return {
        "source": store.manifest.record["source"],
        "encoder": encoder,
        "blocks": store.manifest.blocks,
        "dim": refined.shape[1],
        "dtype": store.manifest.dtype,
        "count": len(refined),
        "errors": {},
        "messages": edges,
        "batch_size": batch_size,
        **{f"final_{name}": round(value, 6) for name, value in outcome.items()},
    }, [*_write_embeddings(folder, refined, store), folder / NETWORK_FILE]


def _write_embeddings(folder: Path, vectors: NDArray[np.float32], store: EmbeddingStore) -> list[Path]:
    """Write vectors in blocks of the same sizes as in the store, its metadata, and an empty list of errors; the files."""
    errors = folder / "errors.parquet"
    with committed(errors) as partial:
        save_table(table_of_rows([], ERROR_SCHEMA), partial)
    files, start = [errors], 0
    for block in range(store.manifest.blocks):
        metadata = metadata_path(store.folder, block)
        stop = start + count_rows(metadata)
        with committed(vectors_path(folder, block)) as partial:
            save_array(partial, vectors[start:stop].astype(store.stored.dtype))
        write_bytes(metadata_path(folder, block), metadata.read_bytes())
        files += [vectors_path(folder, block), metadata_path(folder, block)]
        start = stop
    return files


def _views(options: RefineStageOptions, workspace: Workspace, store: EmbeddingStore, parts: Path) -> list[Nodes]:
    """One view, the embeddings with their neighbour graph; or two, the teacher and the student of a run."""
    if options.run is not None:
        run = workspace.run(options.run)
        _check_graphs(run, RunManifest.read(run))
        return read_views(run, store.keys, options)
    if rank() == 0:
        NeighbourGraph(store.stored, options.neighbors).write(parts, parts)
    wait_for_all()
    ids, cosines = (np.load(parts / name) for name in ("knn_ids.npy", "knn_sims.npy"))
    graph = from_neighbours(ids, edge_weights(cosines, options.cosine_weights), options.graph)
    return [Nodes(standardised(unit_rows(store.vectors), len(store)), graph)]


def _check_graphs(run: Path, made: RunManifest) -> None:
    """Check that a finished run has graphs, and that its files are whole."""
    if not set(GRAPH_FILES) <= made.files.keys():
        raise UsageError(f"--run {run.name} is of {made.method}, which keeps no graphs; graphnnclr does.")
    for name in GRAPH_FILES:
        made.checked(run, name)


def read_views(run: Path, keys: Sequence[str], options: RefineStageOptions) -> list[Nodes]:
    """Teacher and student in the files of a GraphNNCLR run, in the order of the embeddings.

    Args:
        run: its folder.
        keys: the keys of the embedded images.
        options: kind and weights of the edges.
    Raises:
        UsageError: the run was on other images.
    """
    of_run = load_table(run / NODES_FILE)["key"].combine_chunks()
    position = pc.index_in(of_run, value_set=pa.array(keys, pa.string()))
    if position.null_count or len(position) != len(keys):
        raise UsageError(
            f"--run {run.name} was on {counted(len(position), 'image')}, {len(position) - position.null_count:,} of "
            "which are among the "
            f"{len(keys):,} in embeddings/. Embed the images of the run, all of them and no others."
        )
    rows = position.to_numpy().astype(np.int64)
    views = []
    for stream in STREAMS:
        bank = np.load(run / "graph" / f"bank-{stream}.npy")
        features = np.empty_like(bank)
        features[rows] = bank
        edges = load_table(run / "graph" / f"graph-{stream}.parquet")
        node, neighbour, cosines = (edges[name].to_numpy() for name in ("node", "neighbour", "similarity"))
        weights = edge_weights(cosines, options.cosine_weights)
        graph = from_edges(len(rows), rows[node], rows[neighbour], weights, options.graph)
        views.append(Nodes(standardised(features, len(features)), graph))
    return views
