"""`miner refine`: embeddings refined by a graph network over their neighbour graph, as a workspace of its own."""

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.refined import RefinedManifest
from miner.artifacts.runs.manifest import RunManifest
from miner.artifacts.stage import Stage
from miner.artifacts.workspace import Workspace, workspace_flag
from miner.engine import Record, Result, is_follower
from miner.errors import UsageError
from miner.learning.parallel.torchrun import BroadcastFromRank0, run_joined
from miner.refine.options import RefineStageOptions

if TYPE_CHECKING:
    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.refine.network.nodes import Nodes

NETWORK_FILE = "network.safetensors"


def refine(options: RefineStageOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Train a graph network on the neighbour graph of `embeddings/`, or the graphs of a run, without labels -> refined/embeddings/.

    `refined/` is a workspace: `miner pairs -w .../refined` mines from it again. A run that was interrupted continues from its
    last checkpoint and ends with the same bytes.

    Raises:
        MinerError: there are no embeddings, the loss is not finite, or the folder holds the result of another request.
        UsageError: torch_geometric is missing, there are too few images, or the run has no graphs of these images.
    """
    work = partial(_refine, options, workspace, force)
    return run_joined(work, starts_own=options.processes > 1)


def _refine(options: RefineStageOptions, workspace: Workspace, force: bool, broadcast: BroadcastFromRank0) -> Result:
    embeddings = EmbeddingsManifest.read(workspace)
    refined = workspace.refined
    request = {**options.request(), "embeddings": embeddings.identity}
    if options.run is not None:
        request["run_files"] = RunManifest.read(workspace.run(options.run)).identity
    stage = Stage(refined.embeddings, request)
    if (manifest := broadcast(None if force else stage.finished())) is not None:
        return _result(manifest, refined, fresh=False)
    if options.run is None and options.neighbors >= embeddings.count:
        raise UsageError(f"--neighbors {options.neighbors}: there are only {embeddings.count - 1} other images.")
    if not force and not is_follower():
        stage.refuse_another()

    from miner.learning.parallel.processes import run_on_processes
    from miner.refine.network.network import require_geometric

    require_geometric()
    compute = partial(run_on_processes, options.processes, _refined, options, workspace, stage.folder)
    if is_follower():
        compute()
    else:
        with refined.locked():
            stage.begin(force)
            manifest = stage.finish(*compute())
            shutil.rmtree(stage.folder / "parts", ignore_errors=True)
    manifest = broadcast(manifest)
    assert manifest is not None
    return _result(manifest, refined)


def _refined(options: RefineStageOptions, workspace: Workspace, folder: Path) -> tuple[Record, list[Path]]:
    """Train on every process. Rank 0 writes the result, and returns its record and its files."""
    import numpy as np

    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.learning.networks.weights import save_weights
    from miner.learning.parallel.collectives import own_device, rank
    from miner.refine.network.encode import encode
    from miner.refine.network.fit import fit
    from miner.refine.network.network import make_network
    from miner.refine.network.resources import graph_device, images_per_step
    from miner.refine.output import write_embeddings

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
    files = [*write_embeddings(folder, refined, store), folder / NETWORK_FILE]
    return {
        "source": store.manifest.record["source"],
        "encoder": _encoder(options, store.manifest),
        "blocks": store.manifest.blocks,
        "dim": refined.shape[1],
        "dtype": store.manifest.dtype,
        "count": len(refined),
        "errors": {},
        "messages": edges,
        "batch_size": batch_size,
        **{f"final_{name}": round(value, 6) for name, value in outcome.items()},
    }, files


def _views(options: RefineStageOptions, workspace: Workspace, store: "EmbeddingStore", parts: Path) -> list["Nodes"]:
    """One view, the embeddings with their neighbour graph; or two, the teacher and the student of a run."""
    import numpy as np

    from miner.learning.parallel.collectives import rank, wait_for_all
    from miner.pairs.arithmetic.cosine import unit_rows
    from miner.pairs.neighbours.graph import NeighbourGraph
    from miner.refine.graph.graph import from_neighbours
    from miner.refine.graph.neighbours import edge_weights
    from miner.refine.network.nodes import Nodes, standardised
    from miner.refine.run_graphs import check_graphs, read_views

    if options.run is not None:
        run = workspace.run(options.run)
        check_graphs(run, RunManifest.read(run))
        return list(read_views(run, store.keys, options))
    if rank() == 0:
        NeighbourGraph(store.stored, options.neighbors).write(parts, parts)
    wait_for_all()
    ids, cosines = (np.load(parts / name) for name in ("knn_ids.npy", "knn_sims.npy"))
    graph = from_neighbours(ids, edge_weights(cosines, options.cosine_weights), options.graph)
    return [Nodes(standardised(unit_rows(store.vectors), len(store)), graph)]


def _encoder(options: RefineStageOptions, embeddings: EmbeddingsManifest) -> Record:
    if options.run is not None:
        return {"name": f"refined run {options.run}"}
    return {"name": f"refined {embeddings.encoder.name}", "refined_from": embeddings.record["encoder"]}


def _result(manifest: Record, refined: Workspace, fresh: bool = True) -> Result:
    made = RefinedManifest.of(manifest, refined.embeddings / "manifest.json")
    asked, size = made.request, made.batch_size
    steps = "all images at once" if size == made.count else f"batches of {size:,} with sampled neighbours"
    edges = f"{asked.neighbors} neighbours" if asked.run is None else f"graphs of run {asked.run}"
    lines = [
        f"refine: {made.count:,} images as {made.dim}-d vectors in {refined.root}, by {asked.layers} layers of {asked.conv} on "
        f"{made.messages:,} edges ({edges}, {asked.graph})",
        f"refine: loss {made.final_loss:.3f}, feature spread {made.final_spread:.2f} (1 is healthy, 0 is collapse), {steps}",
        f"refine: next, pairs of them: miner pairs --neighbors 10 --min 0.9 --max 0.99{workspace_flag(refined)}",
    ]
    return Result("refine", manifest, lines, fresh, [("refined", f"{made.count:,} images, {made.dim}-d")])
