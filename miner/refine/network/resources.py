"""How many images a step takes, and on which device."""

import torch

from miner.machine.device import resolve_device
from miner.machine.memory import parse_bytes
from miner.refine.options import RefineOptions

BATCH_SIZE = 4096
_EDGE_BYTES = 24  # index and weight of an edge, twice for the backward pass
# Measured copies at the peak of a step, all views and gradients together: of the features and of the output of each layer, by
# convolution; and of the output of the network.
_COPIES = {"gcn": (3, 5), "sage": (6, 7), "gin": (8, 8), "gat": (3, 5)}
_OUTPUT_COPIES = 14


def whole_graph_bytes(options: RefineOptions, images: int, width: int, edges: int) -> int:
    """Estimated memory of a step over all images; a test compares it with the peak of a process.

    It counts activations of both views and of the target, gradients, weights with Adam's moments, and edges, which gat copies
    in every layer. The C library of Linux keeps freed blocks below 32 MB, so a process with a few thousand images can grow to
    twice as much.
    """
    features, of_a_layer = _COPIES[options.conv]
    layers = options.layers * options.dim
    out = layers if options.jump == "concat" else options.dim
    weights = 2 * (width + layers) * options.dim + 4 * out**2
    floats = images * (features * width + of_a_layer * layers + _OUTPUT_COPIES * out) + 5 * weights
    if options.conv == "gat":
        floats += 2 * edges * (layers + options.dim)
    return 4 * floats + 2 * _EDGE_BYTES * edges


def images_per_step(options: RefineOptions, images: int, width: int, edges: int) -> int:
    """The batch size of the options; else all images if they fit into `--memory`, else 4096. It does not depend on the machine."""
    if options.batch_size is not None:
        return min(options.batch_size, images)
    fits = whole_graph_bytes(options, images, width, edges) <= parse_bytes(options.memory)
    return images if fits else min(BATCH_SIZE, images)


def graph_device(name: str) -> torch.device:
    """The device of that name; the CPU instead of mps, which has no sparse matrices.

    Raises:
        UsageError: there is no such device here.
    """
    device = resolve_device(name)
    return torch.device("cpu") if device.type == "mps" else device
