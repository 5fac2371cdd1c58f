"""`miner refine`: embeddings that have heard their neighbours, as a workspace of its own."""

import shutil
from pathlib import Path

from miner.errors import UsageError
from miner.refine.options import RefineOptions
from miner.workspace import Record, Result, Stage, Workspace, fingerprint, workspace_flag

NETWORK_FILE = "network.safetensors"
_NOT_IN_REQUEST = {"device"}


def refine(options: RefineOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Train a graph network on the neighbour graph of `embeddings/`, without labels -> refined/embeddings/.

    `refined/` is a workspace: `miner pairs -w .../refined` mines from it again. A run that was interrupted continues from its
    last checkpoint and ends with the same bytes.

    Raises:
        MinerError: there are no embeddings, the loss is not finite, or the folder holds the result of another request.
        UsageError: torch_geometric is missing, or there are not more images than neighbours.
    """
    embeddings = workspace.manifest(workspace.embeddings)
    refined = Workspace(workspace.root / "refined")
    asked = {name: value for name, value in options.plain().items() if name not in _NOT_IN_REQUEST}
    stage = Stage(refined.embeddings, {**asked, "embeddings": fingerprint(embeddings["files"])})
    if not force and (manifest := stage.finished()):
        return _result(manifest, refined, fresh=False)
    if options.neighbors >= embeddings["count"]:
        raise UsageError(f"--neighbors {options.neighbors}: there are only {embeddings['count'] - 1} other images.")
    if not force:
        stage.refuse_another()

    from miner.refine.network import require_geometric

    require_geometric()
    with refined.locked():
        stage.begin(force)
        record, files = _refined(options, workspace, stage.folder)
        manifest = stage.finish(record, files)
        shutil.rmtree(stage.folder / "parts", ignore_errors=True)
    return _result(manifest, refined)


def _refined(options: RefineOptions, workspace: Workspace, folder: Path) -> tuple[Record, list[Path]]:
    import numpy as np

    from miner.embeddings import EmbeddingStore
    from miner.pairs.graph import NeighbourGraph
    from miner.pairs.similarity import unit_rows
    from miner.refine.encode import encode
    from miner.refine.fit import Nodes, fit, make_network, standardised
    from miner.refine.graph import from_neighbours
    from miner.refine.neighbours import message_weights
    from miner.refine.output import write_embeddings, write_network
    from miner.refine.plan import choose_batch_size, graph_device

    store = EmbeddingStore(workspace)
    parts = folder / "parts"
    ids, cosines = (np.load(path) for path in NeighbourGraph(store.stored, options.neighbors).write(parts, parts))
    graph = from_neighbours(ids, message_weights(cosines, options.cosine_weights), options.graph)
    nodes = Nodes(standardised(unit_rows(store.vectors), len(store)), graph)
    device = graph_device(options.device)
    batch_size = choose_batch_size(options, len(store), store.stored.dim, len(graph.sources))
    network = make_network(options, store.stored.dim)
    outcome = fit(
        network, options.conv, nodes, nodes, options, batch_size=batch_size, device=device, checkpoint=parts / "last.pt"
    )
    refined = encode(network, options.conv, nodes, batch_size=batch_size, device=device)
    files = [*write_embeddings(folder, refined, store), write_network(folder / NETWORK_FILE, network)]
    return {
        "source": store.manifest["source"],
        "encoder": {"name": f"refined {store.manifest['encoder']['name']}", "refined_from": store.manifest["encoder"]},
        "blocks": store.manifest["blocks"],
        "dim": refined.shape[1],
        "dtype": store.manifest["dtype"],
        "count": len(refined),
        "errors": {},
        "messages": len(graph.sources),
        "batch_size": batch_size,
        **{f"final_{name}": round(value, 6) for name, value in outcome.items()},
    }, files


def _result(manifest: Record, refined: Workspace, fresh: bool = True) -> Result:
    request = manifest["request"]
    size = manifest["batch_size"]
    steps = "all images at once" if size == manifest["count"] else f"batches of {size:,} with sampled neighbours"
    lines = [
        f"refine: {manifest['count']:,} images as {manifest['dim']}-d vectors in {refined.root}, by {request['layers']} rounds of "
        f"{request['conv']} on {manifest['messages']:,} messages ({request['neighbors']} neighbours, {request['graph']})",
        f"refine: loss {manifest['final_loss']:.3f}, feature spread {manifest['final_spread']:.2f} (1 is healthy, 0 is collapse), "
        f"{steps}",
        f"refine: next, pairs of them: miner pairs --neighbors 10 --min 0.9 --max 0.99{workspace_flag(refined)}",
    ]
    return Result("refine", manifest, lines, fresh, [("refined", f"{manifest['count']:,} images, {manifest['dim']}-d")])
