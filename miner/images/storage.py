"""Where the images of a run are held: all of them decoded in memory, or in their files."""

import sys
from collections.abc import Sequence

from miner.images.canvases import Canvases, load_canvases
from miner.images.stream import StreamedImages
from miner.machine.memory import free_bytes
from miner.source import Entry, Source


def hold_images(data: str, source: Source, entries: Sequence[Entry], side: int, workers: int) -> Canvases:
    """Keep the images as `--data` asks; auto keeps them in memory where they take at most half of what is free.

    Args:
        data: auto, memory or stream.
        source: of the entries.
        entries: the images by row.
        side: of a canvas in pixels.
        workers: threads that decode.
    Raises:
        MinerError: they are to be in memory and do not fit, or one of them cannot be decoded.
    """
    size_bytes = len(entries) * 3 * side * side
    if data == "memory" or (data == "auto" and size_bytes <= free_bytes() // 2):
        return load_canvases(source, entries, side, workers, "decode")
    print(
        f"images are decoded step by step: all of them would take {size_bytes / 1e9:.1f} GB of memory", file=sys.stderr
    )
    return StreamedImages(source, entries, side, workers)
