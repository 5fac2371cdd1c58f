"""`miner refine`: embeddings refined by a graph network over their neighbour graph, as a workspace of its own."""

from functools import partial

from miner.artifacts.embeddings.manifest import RESULTS, EmbeddingsManifest
from miner.artifacts.manifests import RefinedManifest
from miner.artifacts.runs.manifest import RunManifest
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace, workspace_flag
from miner.engine import Record, Result, is_follower
from miner.errors import UsageError
from miner.learning.parallel.torchrun import BroadcastFromRank0, run_joined
from miner.refine.options import RefineStageOptions
from miner.text import counted


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
    stage = Stage(refined.embeddings, request, (*RESULTS, "network.safetensors"), ("parts/*.npy", "parts/last*.pt"))
    if (manifest := broadcast(None if force or is_follower() else stage.finished())) is not None:
        return _result(manifest, refined, fresh=False)
    if options.run is None and options.neighbors >= embeddings.count:
        raise UsageError(
            f"--neighbors {options.neighbors}: there are only {counted(embeddings.count - 1, 'other image')}."
        )
    if not force and not is_follower():
        stage.refuse_another()

    from miner.learning.parallel.processes import run_on_processes
    from miner.refine.compute import compute_refined
    from miner.refine.network.network import require_geometric

    require_geometric()
    compute = partial(run_on_processes, options.processes, compute_refined, options, workspace, stage.folder)
    if is_follower():
        compute()
    else:
        with refined.locked():
            stage.begin(force)
            manifest = stage.finish(*compute())
    manifest = broadcast(manifest)
    assert manifest is not None
    return _result(manifest, refined)


def _result(manifest: Record, refined: Workspace, fresh: bool = True) -> Result:
    path = refined.embeddings / "manifest.json"
    made = RefinedManifest.of(manifest, path)
    asked, size = made.request, made.batch_size
    steps = "all images at once" if size == made.count else f"batches of {size:,} with sampled neighbours"
    edges = f"{asked.neighbors} neighbours" if asked.run is None else f"graphs of run {asked.run}"
    lines = [
        f"refine: {counted(made.count, 'image')} as {made.dim}-d vectors in {refined.root}, by {asked.layers} layers "
        f"of {asked.conv} on "
        f"{counted(made.messages, 'edge')} ({edges}, {asked.graph})",
        f"refine: loss {made.final_loss:.3f}, feature spread {made.final_spread:.2f} (1 is healthy, 0 is collapse), {steps}",
    ]
    command = f"miner pairs --rule shared --max 0.99{workspace_flag(refined)}  (pairs of them)"
    headline = [("refined", f"{counted(made.count, 'image')}, {made.dim}-d")]
    return Result("refine", manifest, lines, fresh, headline, path=path, verdict=made.verdict, next_command=command)
