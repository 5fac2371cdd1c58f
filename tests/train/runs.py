"""Short runs of the loop and of the stage, for tests on one and on several processes."""

from pathlib import Path
from typing import Any

import torch

from miner.learning.randomness import generator_for
from miner.train.data.arm_pairs import draw_pairs
from miner.train.data.pair_index import PairIndex
from miner.train.data.pair_weights import rank_weights
from miner.train.data.sampler import CombinedSampler
from miner.train.loop.loop import run_loop
from miner.train.methods import Method
from tests.train.methods.tiny import SIDE
from tests.train.plans import CPU, plan

# Options of a run that is the same on one and on several processes, up to rounding.
SHARED_RUN = {
    **{"method": "simclr", "epochs": 1, "batch_size": 8, "image_size": 32, "backbone": "vit_tiny", "patch_size": 8},
    **{"hidden_dim": 16, "dim": 16, "device": "cpu", "precision": "fp32", "lr": 0.1},
}


MINED = torch.stack([torch.arange(30), torch.arange(10, 40)], dim=1)


class KilledError(Exception):
    """What a test raises in the middle of a run."""


def run_killed(folder: Path, name: str, method: Method, killed_at: int | None = None, **changes: Any) -> None:
    """Train a method for 12 steps with checkpoints every 5, or until killed after some forward pass.

    An arm or partners among the changes get pairs.
    """
    images = torch.randint(0, 256, (40, 3, SIDE, SIDE), generator=generator_for(0, "images")).to(torch.uint8)
    chosen = plan(method=name, images=40, pairs=30, epochs=3, batch_size=10, checkpoint_steps=5, **changes)
    mined = MINED if changes.keys() & {"pairs_arm", "partners"} else MINED[:0]
    pairs = draw_pairs(chosen.options.arm, mined, torch.arange(40), 0)
    weights = rank_weights(torch.arange(30)) if chosen.options.pair_weights != "uniform" else None
    items = pairs.rows[: chosen.pair_items]
    sampler = CombinedSampler(chosen.own_items, items, 10, 0, pairs.anchors_only, weights if len(items) else None)
    index = PairIndex.of(pairs.rows, 40, weights=weights)
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == killed_at:
            raise KilledError

    method.register_forward_hook(count)
    run_loop(chosen, method, images, sampler, folder, device=CPU, index=index)
