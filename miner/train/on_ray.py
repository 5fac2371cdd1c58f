"""A run on the workers of a Ray cluster, with Ray Train."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from miner.artifacts.runs.inputs import Inputs
from miner.engine.ray import connect
from miner.errors import MinerError, UsageError, install_extra
from miner.train.pretrain import Pretrained, pretrain
from miner.train.settings.options import TrainOptions

_TIMEOUT_S = 7200


def pretrain_on_ray(options: TrainOptions, inputs: Inputs, folder: Path, start: Path | None) -> Pretrained:
    """`pretrain` on `--processes` workers, each with a GPU if the cluster has any.

    All machines must see the workspace and the images under the same paths. The first worker writes the files of the run.

    Raises:
        UsageError: Ray is not installed.
        MinerError: there is no cluster at the address, a worker died, or the first worker that failed raised one.
    """
    try:
        import ray
        from ray.train import RunConfig, ScalingConfig, WorkerGroupError
        from ray.train.torch import TorchConfig, TorchTrainer
    except ImportError:
        raise UsageError(f"--engine-address needs Ray: {install_extra('ray')}") from None
    assert options.engine_address is not None
    if not ray.is_initialized():
        connect(ray, options.engine_address)
    wants_gpu = options.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0  # type: ignore[no-untyped-call]
    with TemporaryDirectory(prefix="miner-") as storage:
        trainer = TorchTrainer(
            _work,  # type: ignore[arg-type]  # what it returns is the result's return_value
            train_loop_config={"arguments": (options, inputs, folder.absolute(), start and start.absolute())},
            torch_config=TorchConfig(timeout_s=_TIMEOUT_S),
            scaling_config=ScalingConfig(num_workers=options.processes, use_gpu=wants_gpu),
            run_config=RunConfig(storage_path=storage),
        )
        try:
            result: Any = trainer.fit()
        except WorkerGroupError as error:
            raise _reason(error.worker_failures) from error
    return result.return_value  # type: ignore[no-any-return]


def _work(config: dict[str, Any]) -> Pretrained:
    """`pretrain` on each worker, in the process group that Ray Train has set up."""
    arguments: tuple[TrainOptions, Inputs, Path, Path | None] = config["arguments"]
    return pretrain(*arguments)


def _reason(failures: dict[int, Exception]) -> Exception:
    """The error of the worker that failed first, rather than of those that lost the connection to it."""
    for failure in failures.values():
        cause = getattr(failure, "cause", failure)
        if isinstance(cause, MinerError):
            return cause
    return MinerError(
        "A worker of the run failed "
        f"({' '.join(str(next(iter(failures.values()), 'no reason given')).split())[-300:]}). What was finished is kept; the "
        "same command continues."
    )
