"""A run on as many processes as were asked for."""

from pathlib import Path

from miner.artifacts.runs.inputs import Inputs
from miner.learning.parallel.processes import run_on_processes
from miner.train.pretrain import Pretrained, pretrain
from miner.train.settings.options import TrainOptions


def launch(options: TrainOptions, inputs: Inputs, folder: Path, start: Path | None) -> Pretrained:
    """`pretrain` here, or on processes or Ray workers that are started for it, unless this is one of several already."""
    if options.engine_address:
        from miner.train.on_ray import pretrain_on_ray

        return pretrain_on_ray(options, inputs, folder, start)
    return run_on_processes(options.processes, pretrain, options, inputs, folder, start)
