"""Where the images of a run are held: all of them decoded in memory, or in their files."""

import sys
from collections.abc import Sequence

from miner.images.canvases import Canvases, load_canvases
from miner.images.stream import StreamedImages
from miner.machine.memory import free_bytes
from miner.source import Entry, Source


def hold_images(
    data: str, source: Source, entries: Sequence[Entry], side: int, workers: int, *, memory_bytes: int | None = None
) -> Canvases:
    """Hold images in memory or in their files, as `--data` says. auto is memory if they take half of the free memory at most.

    Args:
        data: auto, memory or stream.
        source: of the entries.
        entries: the images by row.
        side: of a canvas in pixels.
        workers: threads that decode.
        memory_bytes: free memory; measured if not given.
    Raises:
        MinerError: memory is asked for and too small, or an image cannot be decoded.
    """
    size_bytes = len(entries) * 3 * side * side
    free = free_bytes() if memory_bytes is None else memory_bytes
    if data == "memory" or (data == "auto" and size_bytes <= free // 2):
        return load_canvases(source, entries, side, workers, "decode", memory_bytes=free)
    print(
        f"images are decoded step by step: all of them would take {size_bytes / 1e9:.1f} GB of memory", file=sys.stderr
    )
    return StreamedImages(source, entries, side, workers)
