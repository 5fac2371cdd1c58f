"""Where the images of a run are held: decoded in the memory of each machine, or in their files."""

import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from miner.images.loading import check_memory, decoding_threads, probe_sizes
from miner.images.ragged import HeldImages
from miner.images.stream import StreamedImages
from miner.images.whole import expected_bytes, map_images, pixel_file, write_images
from miner.learning.parallel.collectives import wait_for_all
from miner.learning.parallel.machine import ALONE, SharedMachine
from miner.machine.memory import free_bytes
from miner.source import Entry, Source


def hold_images(
    data: str,
    source: Source,
    entries: Sequence[Entry],
    bound: int,
    workers: int,
    machine: SharedMachine = ALONE,
    *,
    memory_bytes: int | None = None,
) -> HeldImages:
    """Hold images in memory or in their files, as `--data` says. auto is memory if they take half of the free memory at most.

    The processes of one machine share one copy in memory, which the first of them decodes.

    Args:
        data: auto, memory or stream.
        entries: the images by row.
        bound: most pixels of a short side.
        workers: threads that decode; 0 means one per core, divided among the processes that decode.
        memory_bytes: free memory; measured if not given.
    Raises:
        MinerError: memory is asked for and too small, or an image cannot be decoded.
    """
    with pixel_file() as (file, path):

        def store() -> tuple[Path, Tensor] | None:
            free = free_bytes() if memory_bytes is None else memory_bytes
            size_bytes = expected_bytes(probe_sizes(source, entries), len(entries), bound)
            if data == "memory":
                check_memory(size_bytes, bound, free)
            if data == "memory" or (data == "auto" and size_bytes <= free // 2):
                return path, write_images(file, source, entries, bound, workers)
            size = f"{size_bytes / 1e9:.1f} GB"
            print(f"images are decoded step by step: all of them would take {size} of memory", file=sys.stderr)
            return None

        stored = machine.once(store)
        images = map_images(*stored) if stored else None
        wait_for_all()
    if images is None:
        return StreamedImages(source, entries, bound, workers or max(1, decoding_threads(0) // machine.processes))
    return images
