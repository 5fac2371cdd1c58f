"""`miner train`: the life of a run's folder. Modules that need torch are imported when there is work to do."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.runs.inputs import Inputs, check_shards_are_current, find_inputs, named_source
from miner.artifacts.runs.manifest import RESULTS, SCRATCH, RunManifest
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, file_record, is_follower, write_signed
from miner.learning.parallel.torchrun import BroadcastFromRank0, run_joined
from miner.options import written_name
from miner.text import counted
from miner.train.settings.init_from import InitialWeights, find_initial_weights
from miner.train.settings.method_defaults import METHOD_OPTIONS
from miner.train.settings.options import TrainOptions

if TYPE_CHECKING:
    from miner.train.pretrain import Pretrained


def train(options: TrainOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Pretrain a backbone on own views and semantic pairs -> runs/NAME/.

    A run that was interrupted continues from its last checkpoint and ends with the same bytes. A longer schedule is another run,
    because each step of a cosine depends on the last step; `init_from` starts that run from the weights of this one.

    Raises:
        UsageError: the weights to start from are missing.
        MinerError: there are no images or pairs, an image cannot be decoded, or the loss diverges.
    """
    work = partial(_train, options, workspace, force)
    return run_joined(work, starts_own=options.processes > 1 or bool(options.engine_address))


def _train(options: TrainOptions, workspace: Workspace, force: bool, broadcast: BroadcastFromRank0) -> Result:
    inputs = named_source(options.source) if options.source else find_inputs(workspace, options.reads_pairs)
    folder = workspace.run(options.run_name)
    start = find_initial_weights(options.init_from, workspace, folder)
    stage = Stage(folder, _request(options, inputs, start), RESULTS, SCRATCH)
    if (manifest := broadcast(None if force or is_follower() else stage.finished())) is not None:
        return _result(manifest, stage.folder, None)
    if not is_follower():
        check_shards_are_current(inputs, workspace)
        stage.begin(force)

    trained = _pretrain(options, inputs, stage.folder, start.file if start else None)
    if not is_follower():
        _cover_events(stage.folder)
        manifest = stage.finish(trained.record, [stage.folder / name for name in trained.files])
    manifest = broadcast(manifest)
    assert manifest is not None
    return _result(manifest, stage.folder, trained.measured)


def _result(manifest: Record, run: Path, measured: Record | None) -> Result:
    """What a run comes to; `measured` is None where the run was finished before."""
    path = run / "manifest.json"
    made = RunManifest.of(manifest, path)
    shown = f"{counted(made.images_shown, 'image')} and {counted(made.pairs, 'pair')}"
    headline = f"run {run.name}, {counted(made.steps, 'step')} on {shown}"
    lines = [*run_lines(run.name, made), *([_speed(measured)] if measured else [])]
    done, facts = measured is not None, [("trained", headline)]
    return Result("train", manifest, lines, done, facts, measured or {}, path=path, verdict=made.verdict)


def _pretrain(options: TrainOptions, inputs: Inputs, folder: Path, start: Path | None) -> "Pretrained":
    """`pretrain` here, or on Ray workers or processes that are started for it."""
    if options.engine_address:
        from miner.train.on_ray import pretrain_on_ray

        return pretrain_on_ray(options, inputs, folder, start)
    from miner.learning.parallel.processes import run_on_processes
    from miner.train.pretrain import pretrain

    return run_on_processes(options.processes, pretrain, options, inputs, folder, start)


def _speed(measured: Record) -> str:
    rate = measured["items_per_s"]
    return (
        f"train: {f'{rate:,.0f}' if rate >= 10 else f'{rate:.2g}'} items/s (two views each), {100 * measured['data_wait']:.0f} % "
        f"of the time spent on views, {measured['peak_memory_mb']:,} MB at most"
    )


def _cover_events(folder: Path) -> None:
    """state.json: checksums of the TensorBoard events, whose bytes differ between equal runs."""
    write_signed(
        folder / "state.json", {"files": {p.name: file_record(p) for p in sorted(folder.glob("events.out.*"))}}
    )


def _request(options: TrainOptions, inputs: Inputs, start: InitialWeights | None) -> Record:
    asked = options.request()
    of_some = (*map(written_name, METHOD_OPTIONS), "attention_heads", "init_from")
    foreign = {name for name in of_some if asked[name] is None}
    deciding = {name: value for name, value in asked.items() if name not in foreign}
    if start is not None:
        deciding["init_from"] = start.sha256
    return {**deciding, "images_from": inputs.origin, "inputs": inputs.fingerprint}


def run_lines(name: str, made: RunManifest) -> list[str]:
    """What a run was trained on and how it ended, for people."""
    precision = made.pair_label_precision
    agreeing = "" if precision is None else f" ({100 * precision:.1f} % of them with the same label)"
    return [
        f"train: run {name}, {made.method}, {counted(made.images_shown, 'image')} and {counted(made.pairs, 'pair')}{agreeing}, "
        f"{counted(made.epochs, 'epoch')}, {counted(made.steps, 'step')}",
        *_labels_used(made),
        f"train: over the last epoch, {', '.join(_measured(made))}",
        *_online_knn(made),
    ]


def _labels_used(made: RunManifest) -> list[str]:
    if not made.uses_labels:
        return []
    per_class = made.record.get("pairs_per_class")
    how = f"--pairs-per-class {per_class}" if per_class else f"--pairs-arm {made.pairs_arm}"
    judged = "" if per_class else "an upper bound, and "
    return [f"train: the pairs were drawn by label ({how}): the run is {judged}not self-supervised."]


def _online_knn(made: RunManifest) -> list[str]:
    knn = made.online_knn
    if knn is None:
        return []
    return [
        f"train: kNN (k={knn.k} T={knn.temperature}, {counted(knn.n_test, 'image')} of {knn.test}): last {knn.last:.1f} %, "
        f"best {knn.best:.1f} % after epoch {knn.best_epoch:,}; the best is optimistic, chosen on the images that measure it"
    ]


def _measured(made: RunManifest) -> list[str]:
    """The loss, and numbers that show a collapse."""
    texts = [f"loss {made.final_loss:.3f}"]
    if made.final_accuracy is not None:
        texts.append(f"contrastive accuracy {100 * made.final_accuracy:.1f} %")
    if made.final_spread is not None:
        texts.append(f"feature spread {made.final_spread:.2f} (1 is healthy, 0 is collapse)")
    if made.final_rankme is not None:
        texts.append(f"RankMe {made.final_rankme:.1f}")
    return texts
