"""Whether all images fit into one step, and where to compute."""

import torch

from miner.device import resolve_device
from miner.memory import parse_bytes
from miner.refine.options import RefineOptions

BATCH = 4096
_EDGE_BYTES = 24  # place and weight of a message, and again for its way back


def step_bytes(options: RefineOptions, images: int, width: int, edges: int) -> int:
    """What a step over all images takes, about: two views of the features, the activations of the online networks with their
    gradients, those of one target network, and the messages; for gat a copy of every message and round."""
    rounds = options.layers * options.dim
    out = rounds if options.jump == "concat" else options.dim
    floats = images * (3 * width + 2 * (3 * rounds + 8 * out) + rounds + 2 * out)
    if options.conv == "gat":
        floats += 4 * edges * rounds
    return 4 * floats + 2 * _EDGE_BYTES * edges


def choose_batch_size(options: RefineOptions, images: int, width: int, edges: int) -> int:
    """Images per step: as asked, all where they fit into the memory given, or 4096. It does not depend on the machine."""
    if options.batch_size is not None:
        return min(options.batch_size, images)
    return images if step_bytes(options, images, width, edges) <= parse_bytes(options.memory) else min(BATCH, images)


def graph_device(name: str) -> torch.device:
    """The device of an option; Apple's has no sparse matrices, so `auto` leaves it out.

    Raises:
        UsageError: there is no such device here.
    """
    device = resolve_device(name)
    return torch.device("cpu") if device.type == "mps" else device
