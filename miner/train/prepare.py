"""What a run starts with: its plan, images, pairs and labels."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.training_data import open_images, pair_rows, pair_scores
from miner.images.channels import channel_statistics
from miner.images.loading import probe_sizes, typical_side
from miner.images.ragged import HeldImages
from miner.learning.parallel.collectives import world_size
from miner.learning.parallel.machine import shared_machine
from miner.learning.randomness import generator_for
from miner.machine.device import resolve_precision
from miner.train.data.arm_pairs import ArmPairs, draw_pairs
from miner.train.data.hold import hold_images
from miner.train.data.pair_weights import rank_weights
from miner.train.data.pairs_by_label import pairs_of_each_class
from miner.train.settings.options import TrainOptions
from miner.train.settings.plan import RunPlan, make_plan


@dataclass(frozen=True)
class PreparedRun:
    """Everything that a run reads before its first step.

    Attributes:
        plan: every number of the run.
        images: uint8 (images, 3, height, width), ragged if shapes differ, or in their files; on the CPU.
        keys: the keys of the images, by row.
        labels: the labels of the images, int64 (images,), -1 where unknown.
        pairs: the pairs of the arm, among the images.
    """

    plan: RunPlan
    images: HeldImages
    keys: list[str]
    labels: Tensor
    pairs: ArmPairs


def prepare_run(options: TrainOptions, inputs: Inputs, device: torch.device) -> PreparedRun:
    """Read images and pairs, and make the plan.

    Raises:
        UsageError: an option does not fit the images, the backbone or the number of processes.
        MinerError: images or pairs are missing or damaged, or there are too few images.
    """
    source, entries = open_images(inputs)
    keys = [entry.key for entry in entries]
    entries = entries[: options.limit]
    labels = torch.tensor([-1 if entry.label is None else entry.label for entry in entries])
    if options.pairs_per_class:
        mined = pairs_of_each_class(labels, options.pairs_per_class, generator_for(options.seed, "classes"))
    else:
        mined = pair_rows(inputs, keys, options.limit, options.pairs_per_anchor)
    pairs = draw_pairs(options.arm, mined, labels, options.seed)
    if options.pair_weights != "uniform" and len(pairs.rows):
        weights = rank_weights(pair_scores(inputs, keys, mined, options.pair_weights))
        pairs = replace(pairs, weights=weights.repeat_interleave(len(pairs.rows) // len(mined)))
    plan = make_plan(
        options,
        images=len(entries),
        mined=len(mined),
        pairs=len(pairs.rows),
        side=typical_side(probe_sizes(source, entries)),
        precision="bf16" if resolve_precision(options.precision, device) == torch.bfloat16 else "fp32",
        processes=world_size(),
    )
    machine = shared_machine()
    images = hold_images(options.data, source, entries, plan.short_side, options.workers, machine)
    mean, std = machine.once(lambda: channel_statistics(images))
    return PreparedRun(replace(plan, mean=mean, std=std), images, [entry.key for entry in entries], labels, pairs)
