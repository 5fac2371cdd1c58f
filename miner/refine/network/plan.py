"""Whether all images fit into one step, and where to compute."""

import torch

from miner.machine.device import resolve_device
from miner.machine.memory import parse_bytes
from miner.refine.options import RefineOptions

BATCH = 4096
_EDGE_BYTES = 24  # place and weight of a message, and again for its way back
# Copies at the peak of a step, all views and gradients together, as measured: of the features and of the outcome of each round, by
# convolution, and of the output of the network.
_COPIES = {"gcn": (3, 5), "sage": (6, 7), "gin": (8, 8), "gat": (3, 5)}
_OUTPUT_COPIES = 14


def step_bytes(options: RefineOptions, images: int, width: int, edges: int) -> int:
    """What a step over all images takes, about: activations of both views and of the target, gradients, weights with Adam's
    moments, and the messages, which gat copies in every round. A test compares it with the peak of a process.

    The C library of Linux keeps freed blocks below 32 MB for itself, so that a process with some thousand images can grow to
    twice as much.

    Args:
        images: n.
        width: of the features.
        edges: messages among the images.
    """
    features, of_a_round = _COPIES[options.conv]
    rounds = options.layers * options.dim
    out = rounds if options.jump == "concat" else options.dim
    weights = 2 * (width + rounds) * options.dim + 4 * out**2
    floats = images * (features * width + of_a_round * rounds + _OUTPUT_COPIES * out) + 5 * weights
    if options.conv == "gat":
        floats += 2 * edges * (rounds + options.dim)
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
